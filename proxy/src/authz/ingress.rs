//! The decision on a call that comes in: CUSTOM, then DENY, then ALLOW; AUDIT and dry-run policies only tell.

use super::{Attributes, matching};
use crate::snapshot::policy::{CompiledRule, Policies, RuleId};
use std::fmt;

/// What was decided about a call, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict<'p> {
    /// The decision; when somebody must be asked, the decision that holds if they agree.
    pub decision: Decision<'p>,
    /// AUDIT rules that matched.
    pub audited: Vec<&'p RuleId>,
    /// The extension provider to ask before the call may go on.
    pub asks_external: Option<&'p str>,
    /// What dry-run policies would have said; `None`: there are none.
    pub shadow: Option<Shadow>,
}

/// Allowed or not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decision<'p> {
    /// Allowed by this rule; `None`: no ALLOW policy applies.
    Allow(Option<&'p RuleId>),
    /// Refused.
    Deny(Denial<'p>),
}

/// Why a call is refused.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Denial<'p> {
    /// This rule matched.
    Rule(&'p RuleId),
    /// ALLOW policies apply and none of their rules matched.
    NoRuleAllows,
    /// This provider must be asked first, and nobody did.
    NotAsked(&'p str),
}

/// Whether dry-run rules matched; `None`: there is no such policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shadow {
    /// A dry-run ALLOW rule matched.
    pub allow: Option<bool>,
    /// A dry-run DENY rule matched.
    pub deny: Option<bool>,
}

/// Decides on a call. Nobody is asked here: see [`Verdict::allowed`].
pub fn decide<'p>(policies: &'p Policies, call: &Attributes<'_>) -> Verdict<'p> {
    let sets = if call.http.is_some() { &policies.http } else { &policies.tcp };
    let first = |rules: &'p [CompiledRule]| rules.iter().find(|r| matching::rule(r, call)).map(|r| &r.id);

    let asks_external = sets.custom.as_ref().filter(|c| first(&c.rules).is_some()).map(|c| &*c.provider);
    let audited = sets.audit.iter().filter(|r| matching::rule(r, call)).map(|r| &r.id).collect();
    let decision = match first(&sets.unusable_custom).or_else(|| first(&sets.deny)) {
        Some(rule) => Decision::Deny(Denial::Rule(rule)),
        None => match &sets.allow {
            None => Decision::Allow(None),
            Some(rules) => match first(rules) {
                Some(rule) => Decision::Allow(Some(rule)),
                None => Decision::Deny(Denial::NoRuleAllows),
            },
        },
    };
    let tried = |rules: &'p Option<Vec<CompiledRule>>| rules.as_ref().map(|r| first(r).is_some());
    let shadow = match (tried(&sets.dry_run_allow), tried(&sets.dry_run_deny)) {
        (None, None) => None,
        (allow, deny) => Some(Shadow { allow, deny }),
    };
    Verdict { decision, audited, asks_external, shadow }
}

impl<'p> Verdict<'p> {
    /// Whether the call may go on. One that somebody must be asked about may not, so forgetting to ask refuses.
    pub fn allowed(&self) -> Result<(), Denial<'p>> {
        match (self.decision, self.asks_external) {
            (Decision::Deny(denial), _) => Err(denial),
            (Decision::Allow(_), Some(provider)) => Err(Denial::NotAsked(provider)),
            (Decision::Allow(_), None) => Ok(()),
        }
    }

    /// The rule that decided, if it was one.
    pub fn decided_by(&self) -> Option<&'p RuleId> {
        match self.decision {
            Decision::Allow(rule) => rule,
            Decision::Deny(Denial::Rule(rule)) => Some(rule),
            Decision::Deny(Denial::NoRuleAllows | Denial::NotAsked(_)) => None,
        }
    }
}

/// As in response code details of an access log, `rbac_access_denied_matched_policy[…]`.
impl fmt::Display for Denial<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Denial::Rule(rule) => write!(f, "rbac_access_denied_matched_policy[{rule}]"),
            Denial::NoRuleAllows => f.write_str("rbac_access_denied_matched_policy[none]"),
            Denial::NotAsked(_) => f.write_str("ext_authz_error"),
        }
    }
}

#[cfg(test)]
mod tests;
