use super::*;

/// `code`, whether flags are set, gRPC status, mutual TLS.
type Request = (i64, bool, Option<i64>, bool);

fn passes(text: &str, (code, flags, grpc, mtls): Request) -> bool {
    parse(text).unwrap().passes(|attribute| match attribute {
        LogAttribute::ResponseCode => Some(code),
        LogAttribute::ResponseFlags => Some(flags.into()),
        LogAttribute::GrpcStatus => grpc,
        LogAttribute::MutualTls => Some(mtls.into()),
    })
}

#[test]
fn expressions_mean_what_cel_says() {
    let (fine, error, broken) = ((200, false, None, true), (503, false, None, false), (0, true, Some(14), true));
    for (text, want) in [
        ("response.code >= 400", [false, true, false]),
        ("response.code>=400||response.flags!=0", [false, true, true]),
        ("!(response.code < 400 && response.flags == 0)", [false, true, true]),
        ("connection.mtls", [true, false, true]),
        ("!connection.mtls", [false, true, false]),
        ("connection.mtls == false", [false, true, false]),
        ("connection.mtls && response.code == 200 || response.code == 503", [true, true, false]),
        ("connection.mtls && (response.code == 200 || response.code == 503)", [true, false, false]),
        ("response.grpc_status == 14", [false, false, true]),
        ("!!(response.code > 200)", [false, true, false]),
        ("response.code > -1", [true, true, true]),
    ] {
        assert_eq!([fine, error, broken].map(|request| passes(text, request)), want, "{text}");
    }
}

#[test]
fn what_is_not_of_this_part_of_cel_is_refused_with_the_reason() {
    for (text, reason) in [
        ("request.url_path == 'x'", "\"request.url_path\" is not an attribute that is served"),
        ("response.code", "an attribute is not compared with anything"),
        ("response.code >=", "a comparison has no second side"),
        ("response.code == true", "\"true\" cannot be compared with"),
        ("response.flags == 4", "response.flags is compared with 0 alone"),
        ("connection.mtls < true", "connection.mtls is equal or not"),
        ("400 <= response.code", "\"400\" is not an attribute that is served"),
        ("(response.code == 1", "a parenthesis is not closed"),
        ("response.code == 1)", "\")\" is not expected"),
        ("response.code == 1 &&", "it ends where an attribute should stand"),
        ("has(response.code)", "\"has\" is not an attribute that is served"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(reason) || text.contains('\''), "{text}: {error}");
    }
}

#[test]
fn what_would_grow_without_bounds_is_refused() {
    let alternatives = vec!["(response.code == 1 || response.code == 2)"; 20].join(" && ");
    assert_eq!(parse(&alternatives).unwrap_err(), "it comes to more than 256 conditions");
    let nested = format!("{}response.code == 1{}", "(".repeat(100_000), ")".repeat(100_000));
    assert_eq!(parse(&nested).unwrap_err(), "it is nested more than 16 deep");
}
