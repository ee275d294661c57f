use super::*;
use Normalization::{Base, DecodeAndMergeSlashes as Decode, MergeSlashes as Merge, None as Off};

/// What each mode makes of a target; "=" is the target itself, "!" a refusal.
fn check(target: &str, none: &str, base: &str, merge: &str, decode: &str) {
    for (mode, want) in [(Off, none), (Base, base), (Merge, merge), (Decode, decode)] {
        let want = if want == "=" { target } else { want };
        match normalize(target, mode) {
            Ok(got) => assert_eq!(got, want, "{target} in {mode:?}"),
            Err(Rejected) => assert_eq!("!", want, "{target} in {mode:?}"),
        }
    }
}

#[test]
fn slashes_and_backslashes() {
    check("/a//b", "=", "=", "/a/b", "/a/b");
    check("//a", "=", "=", "/a", "/a");
    check("///", "=", "=", "//", "//");
    check("/a/b//", "=", "=", "/a/b/", "/a/b/");
    check("/a\\..\\b", "=", "/b", "/b", "/b");
    check("\\a", "=", "/a", "/a", "/a");
    check("/a%2Fb", "=", "=", "=", "/a/b");
    check("/a%5c..%5cb", "=", "=", "=", "/b");
    check("/a%2f%2Fb", "=", "=", "=", "/a/b");
    check("/%2e%2E%2fa", "=", "/..%2fa", "/..%2fa", "/a");
}

#[test]
fn dot_segments() {
    check("/a/..//b", "=", "//b", "/b", "/b");
    check("/a/.", "=", "/a/", "/a/", "/a/");
    check("/a/b/..", "=", "/a/", "/a/", "/a/");
    check("/../a", "=", "/a", "/a", "/a");
    check("/..", "=", "/", "/", "/");
    check("/../..//x", "=", "//x", "/x", "/x");
    check("/a//../b", "=", "/a/b", "/a/b", "/a/b");
    check("/a/.../b", "=", "=", "=", "=");
    check("/.well-known/x", "=", "=", "=", "=");
    check("/..a/.b", "=", "=", "=", "=");
    check("/a/%2E%2e/b", "=", "/b", "/b", "/b");
    check("/a/.%2e?q", "=", "/?q", "/?q", "/?q");
    check("/a%2e%2e/b", "=", "/a../b", "/a../b", "/a../b");
    check("/a;p=1/../b", "=", "/b", "/b", "/b");
    check("/x/..;/admin", "=", "/admin", "/admin", "/admin");
    check("/x/..;v=1;w/admin", "=", "/admin", "/admin", "/admin");
    check("/a/.;/b", "=", "/a/b", "/a/b", "/a/b");
    check("/a/%2e.;x", "=", "/", "/", "/");
    check("/a/..%3b/b", "=", "=", "=", "=");
    check("/a/;/b;.", "=", "=", "=", "=");
}

#[test]
fn escapes() {
    check("/a%41%7a%7E", "=", "/aAz~", "/aAz~", "/aAz~");
    for kept in ["/a%20b", "/a%3Fb", "/a%23b", "/a%252Fb", "/a%c3%A9", "/a%", "/a%2", "/a%zz", "/%%20"] {
        check(kept, "=", "=", "=", "=");
    }
    check("/a%00b", "=", "!", "!", "!");
    check("/%%36%31dmin", "=", "/%2561dmin", "/%2561dmin", "/%2561dmin");
    check("/%2%46b", "=", "/%252Fb", "/%252Fb", "/%252Fb");
    check("/%%32F", "=", "/%252F", "/%252F", "/%252F");
    check("/%%36/1", "=", "/%6/1", "/%6/1", "/%6/1");
    check("/public/%%37%33ecret", "=", "/public/%2573ecret", "/public/%2573ecret", "/public/%2573ecret");
    check("/a\"<>^`{|}", "=", "/a%22%3C%3E%5E%60%7B%7C%7D", "/a%22%3C%3E%5E%60%7B%7C%7D", "/a%22%3C%3E%5E%60%7B%7C%7D");
    check("/;,=:@&+$!'()*[]", "=", "=", "=", "=");
    check("/é x", "=", "/%C3%A9%20x", "/%C3%A9%20x", "/%C3%A9%20x");
}

#[test]
fn the_query_is_kept_and_a_fragment_is_cut() {
    check("/a?x=/../y//z%2F%41%00", "=", "=", "=", "=");
    check("/a?q#f", "/a?q", "/a?q", "/a?q", "/a?q");
    check("/a#f?q", "/a", "/a", "/a", "/a");
    check("/./a?é#f", "/./a?é", "/a?é", "/a?é", "/a?é");
    check("/a#/../%00", "/a", "/a", "/a", "/a");
    check("*", "=", "=", "=", "=");
}

#[test]
fn what_needs_nothing_is_lent_back() {
    for target in ["/", "/api/v1/items/42?x=%41#f", "/a%20b/.well-known", "/a..b/c.d"] {
        for mode in [Off, Base, Merge, Decode] {
            assert!(matches!(normalize(target, mode), Ok(Cow::Borrowed(_))), "{target} in {mode:?}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn normalised_twice_is_normalised_once(target in "[/a.;%25eEfF6cC0?#{é\"\\\\]{0,18}") {
        for mode in [Off, Base, Merge, Decode] {
            if let Ok(once) = normalize(&target, mode) {
                proptest::prop_assert_eq!(normalize(&once, mode), Ok(Cow::Borrowed(&*once)), "{:?}", mode);
            }
        }
    }

    #[test]
    fn any_text_is_normalised_once(target in ".{0,40}") {
        for mode in [Off, Base, Merge, Decode] {
            if let Ok(once) = normalize(&target, mode) {
                proptest::prop_assert_eq!(normalize(&once, mode), Ok(Cow::Borrowed(&*once)), "{:?}", mode);
            }
        }
    }

    #[test]
    fn the_scan_agrees_with_the_work(target in "/[a.;/\\\\%2eEfF5cC0?#{é]{0,14}") {
        for mode in [Base, Merge, Decode] {
            let lent = normalize(&target, mode);
            proptest::prop_assert_eq!(lent.map(Cow::into_owned), rebuild(&target, mode));
        }
    }
}
