//! What routes do to requests and answers.

use super::reference::{BACKEND_OBJECT, LOCAL};
use super::rules;
use super::values::{AUTH_PATH, HEADER_NAME, HEADER_VALUE, HOST, ORIGIN, TEXT_1024};
use crate::crd::form::{Fact, Holds, forms};

forms! {
    pub(super) HTTP_FILTER {
        "cors": Holds::Of(&CORS), "Which pages of other origins may call.";
        "extensionRef": Holds::Of(&LOCAL), "An object that says what is done.";
        "externalAuth": Holds::Of(&EXTERNAL_AUTH), "A service that is asked whether a request may pass. Experimental channel.";
        "requestHeaderModifier": Holds::Of(&HEADER_FILTER), "Headers of requests that are changed.";
        "requestMirror": Holds::Of(&MIRROR), "Where a copy of each request goes.";
        "requestRedirect": Holds::Of(&REDIRECT), "What clients are told to ask instead.";
        "responseHeaderModifier": Holds::Of(&HEADER_FILTER), "Headers of answers that are changed.";
        "type": Holds::Word(&["RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "RequestRedirect", "URLRewrite", "ExtensionRef", "CORS", "ExternalAuth"]), "What it does: the field of that name must be set, and no other.", Fact::Required;
        "urlRewrite": Holds::Of(&REWRITE), "Host and path that backends see.";
    } with [Fact::Strict] => rules::filter;

    pub(super) CORS {
        "allowCredentials": Holds::Bool, "Whether pages may send credentials.";
        "allowHeaders": Holds::List(&HEADER_NAME), "Headers that pages may send.", Fact::MostEntries(64), Fact::Distinct;
        "allowMethods": Holds::List(&Holds::Word(&["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "*"])), "Methods that pages may use.", Fact::MostEntries(9), Fact::Distinct;
        "allowOrigins": Holds::List(&ORIGIN), "Origins whose pages may call.", Fact::MostEntries(64), Fact::Distinct;
        "exposeHeaders": Holds::List(&HEADER_NAME), "Headers of answers that pages may read.", Fact::MostEntries(64), Fact::Distinct;
        "maxAge": Holds::Whole(1, i32::MAX as i64), "Seconds for which browsers keep the answer.", Fact::Default("5");
    } with [Fact::Strict] => rules::cors;

    pub(super) EXTERNAL_AUTH {
        "backendRef": Holds::Of(&BACKEND_OBJECT), "The service that is asked.", Fact::Required;
        "forwardBody": Holds::Of(&FORWARD_BODY), "How much of the body it gets.";
        "grpc": Holds::Of(&GRPC_AUTH), "Settings when it is asked over gRPC.";
        "http": Holds::Of(&HTTP_AUTH), "Settings when it is asked over HTTP.";
        "protocol": Holds::Word(&["HTTP", "GRPC"]), "How it is asked.", Fact::Required;
    } with [Fact::Strict] => rules::external_auth;

    pub(super) FORWARD_BODY {
        "maxSize": Holds::Whole(0, i32::MAX as i64), "Most bytes of the body; none of it if absent or 0.";
    } with [Fact::Strict];

    pub(super) GRPC_AUTH {
        "allowedHeaders": Holds::List(&Holds::Text), "Headers of the request that the service gets.", Fact::MostEntries(64), Fact::Distinct;
    } with [Fact::Strict];

    pub(super) HTTP_AUTH {
        "allowedHeaders": Holds::List(&Holds::Text), "Headers of the request that the service gets beside the usual.", Fact::MostEntries(64), Fact::Distinct;
        "allowedResponseHeaders": Holds::List(&Holds::Text), "Headers of its answer that backends get.", Fact::MostEntries(64), Fact::Distinct;
        "path": AUTH_PATH, "Put before the path that the service is asked for.";
    } with [Fact::Strict];

    pub(super) HEADER_FILTER {
        "add": Holds::List(&Holds::Of(&HEADER)), "Headers that get one more value.", Fact::MostEntries(16), Fact::KeyedBy("name");
        "remove": Holds::List(&Holds::Text), "Headers that are taken out.", Fact::MostEntries(16), Fact::Distinct;
        "set": Holds::List(&Holds::Of(&HEADER)), "Headers that get this value alone.", Fact::MostEntries(16), Fact::KeyedBy("name");
    } with [Fact::Strict];

    pub(super) HEADER {
        "name": HEADER_NAME, "Name of the header, in upper or lower case.", Fact::Required;
        "value": HEADER_VALUE, "Its value.", Fact::Required;
    } with [Fact::Strict];

    pub(super) MIRROR {
        "backendRef": Holds::Of(&BACKEND_OBJECT), "Where copies go.", Fact::Required;
        "fraction": Holds::Of(&FRACTION), "Share of requests that are copied.";
        "percent": Holds::Whole(0, 100), "Percentage of requests that are copied; all if absent.";
    } with [Fact::Strict] => rules::mirror;

    pub(super) FRACTION {
        "denominator": Holds::Whole(1, i32::MAX as i64), "Of how many.", Fact::Default("100");
        "numerator": Holds::Whole(0, i32::MAX as i64), "How many.", Fact::Required;
    } with [Fact::Strict] => rules::fraction;

    pub(super) REDIRECT {
        "hostname": HOST, "The host; the request's own if absent.";
        "path": Holds::Of(&PATH_CHANGE), "The path; the request's own if absent.";
        "port": Holds::Port, "The port; that of scheme or listener if absent.";
        "scheme": Holds::Word(&["http", "https"]), "The scheme; the request's own if absent.";
        "statusCode": Holds::Whole(301, 308), "Status of the answer: 301, 302, 303, 307 or 308.", Fact::Default("302");
    } with [Fact::Strict] => rules::redirect;

    pub(super) PATH_CHANGE {
        "replaceFullPath": TEXT_1024, "The new path.";
        "replacePrefixMatch": TEXT_1024, "What stands in place of the prefix that matched.";
        "type": Holds::Word(&["ReplaceFullPath", "ReplacePrefixMatch"]), "Whether the path or its prefix is replaced.", Fact::Required;
    } with [Fact::Strict] => rules::path_change;

    pub(super) REWRITE {
        "hostname": HOST, "The host.";
        "path": Holds::Of(&PATH_CHANGE), "The path.";
    } with [Fact::Strict];
}
