//! How requests of a session stay with one backend.

use super::rules;
use super::values::{SPAN, TEXT_128};
use crate::crd::form::{Fact, Holds, forms};

forms! {
    pub(super) SESSION {
        "absoluteTimeout": SPAN, "How long a session lasts at most.";
        "cookieConfig": Holds::Of(&COOKIE), "About its cookie.";
        "sessionName": TEXT_128, "Name of its cookie or header.";
        "type": Holds::Word(&["Cookie", "Header"]), "Where the session is noted.", Fact::Default("Cookie");
    } with [Fact::Strict] => rules::session;

    pub(super) COOKIE {
        "lifetimeType": Holds::Word(&["Permanent", "Session"]), "Whether the cookie outlives the browser's session.", Fact::Default("Session");
    } with [Fact::Strict];
}
