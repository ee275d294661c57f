//! RequestAuthentication: which tokens of end users are valid.

use crate::crd::{
    form::{self, Fact, Holds, forms},
    node::{self, Value},
    reader::{Fields, Item},
    target::{self, MOST_TARGETS, ONE_OF_THREE, REFERENCE, SELECTOR},
};

const FILLED: Fact = Fact::Each(&[Fact::LeastLength(1)]);
/// What API servers are told about the place of keys.
const WEB: Fact =
    Fact::Rule("isURL(self) && url(self).getScheme() in ['http', 'https']", "url must have scheme http:// or https://");

forms! {
    /// `spec`.
    pub(in crate::crd) REQUEST_AUTHENTICATION {
        "selector": Holds::Of(&SELECTOR), "Which workloads; without it, and without a target, those of the namespace.";
        "targetRef": Holds::Of(&REFERENCE), "What it is for, instead of a selector. Superseded by targetRefs.";
        "targetRefs": Holds::List(&Holds::Of(&REFERENCE)), "What it is for, instead of a selector.", MOST_TARGETS;
        "jwtRules": Holds::List(&Holds::Of(&JWT_RULE)), "Tokens that count. A request with another one is refused.",
            Fact::MostEntries(4096);
    } with [ONE_OF_THREE] => target::one_way;

    JWT_RULE {
        "issuer": Holds::Text, "Who issues the tokens: their claim iss.", Fact::LeastLength(1);
        "audiences": Holds::List(&Holds::Filled), "For whom they may be: one of these stands in their claim aud.", FILLED;
        "jwksUri": Holds::Judged(keys_uri), "Where the issuer's keys are, as http or https URL.",
            Fact::LeastLength(1), Fact::MostLength(2048), WEB;
        "jwks_uri": Holds::Judged(keys_uri), "An older spelling of jwksUri.",
            Fact::LeastLength(1), Fact::MostLength(2048), WEB;
        "jwks": Holds::Judged(keys), "The issuer's keys themselves, as a JSON Web Key Set.";
        "fromHeaders": Holds::List(&Holds::Of(&JWT_HEADER)), "Headers to look for a token in.";
        "fromParams": Holds::List(&Holds::Filled), "Query parameters to look for a token in.", FILLED;
        "fromCookies": Holds::List(&Holds::Filled), "Cookies to look for a token in.", FILLED;
        "outputPayloadToHeader": Holds::Text, "Header that hands a valid token's content on.";
        "outputClaimToHeaders": Holds::List(&Holds::Of(&CLAIM_TO_HEADER)), "Headers that hand single claims on.";
        "forwardOriginalToken": Holds::Bool, "Whether the token itself goes on too.";
        "timeout": Holds::Span, "How long keys may take to be fetched.";
        "spaceDelimitedClaims": Holds::List(&Holds::Filled), "Claims that are lists written with blanks.", FILLED, Fact::MostEntries(64);
        "presence": Holds::Word(&["OPTIONAL", "REQUIRED"]), "Whether a request may come without a token.";
    } with [
        Fact::Rule("[has(self.jwks), has(self.jwksUri), has(self.jwks_uri)].filter(keys, keys).size() <= 1",
            "only one of jwks or jwksUri can be set"),
    ] => jwt_rule;

    JWT_HEADER {
        "name": Holds::Filled, "The header.", Fact::Required, Fact::LeastLength(1);
        "prefix": Holds::Text, "What stands before the token in it.";
    };

    CLAIM_TO_HEADER {
        "header": Holds::Judged(form::plain_header), "The header.", Fact::Required, Fact::LeastLength(1), Fact::Pattern("^[-_A-Za-z0-9]+$");
        "claim": Holds::Filled, "The claim; a dot leads into a nested one.", Fact::Required, Fact::LeastLength(1);
    };
}

fn jwt_rule(f: &mut Fields<'_>) {
    let filled = |f: &mut Fields<'_>, name| f.item(name).and_then(|item| item.string()).is_some_and(|t| !t.is_empty());
    let errors = f.errors();
    let says_who = ["issuer", "jwksUri", "jwks_uri"].map(|name| filled(f, name)).contains(&true);
    if f.errors() == errors && !says_who {
        f.one_is_required::<()>(&["issuer", "jwksUri"], "issuer or jwksUri must say whose tokens count");
    }
    if f.has("jwks") && (f.has("jwksUri") || f.has("jwks_uri")) {
        f.invalid::<()>("only one of jwks and jwksUri may be set");
    }
}

fn keys_uri(item: &Item<'_>) {
    let Some(uri) = item.string() else { return };
    let host = uri.strip_prefix("https://").or_else(|| uri.strip_prefix("http://"));
    if host.is_none_or(|host| host.split(['/', '?']).next().is_none_or(str::is_empty)) {
        item.invalid::<()>(format!("{uri:.80?} is no URL such as https://issuer.example/keys"));
    }
}

fn keys(item: &Item<'_>) {
    let Some(text) = item.string().filter(|text| !text.is_empty()) else { return };
    let set = node::read(&text).into_iter().next();
    let is_set = matches!(&set, Some(Ok(document))
        if matches!(document.node.get("keys").map(|keys| &keys.value), Some(Value::Seq(_))));
    if !is_set {
        item.invalid::<()>("is no JSON Web Key Set: {\"keys\": […]}");
    }
}
