//! A principal in one of the mesh's trust domains stands for it in all of them; `cluster.local` always does.

use mesh_config::{
    matcher::StringMatch,
    model::{
        Authorization, Settings,
        authorization::{Attribute, ConditionValue, Values},
    },
};

/// Expands principals in `from` and in `source.principal` conditions.
pub(super) fn expand(policy: &mut Authorization, settings: &Settings) {
    let domains: Vec<&str> =
        [&settings.trust_domain].into_iter().chain(&settings.trust_domain_aliases).map(|td| td.as_str()).collect();
    for rule in &mut policy.rules {
        for source in &mut rule.sources {
            each_list(&mut source.principals, |m| all_domains(m, &domains));
        }
        for condition in rule.conditions.iter_mut().filter(|c| c.key == Attribute::SourcePrincipal) {
            each_list(&mut condition.values, |value| match value {
                ConditionValue::Text(m) => all_domains(m, &domains).into_iter().map(ConditionValue::Text).collect(),
                other => vec![other.clone()],
            });
        }
    }
}

fn each_list<T>(values: &mut Values<T>, expand: impl Fn(&T) -> Vec<T>) {
    for list in [&mut values.any_of, &mut values.none_of] {
        *list = list.iter().flat_map(&expand).collect();
    }
}

/// The principal in each trust domain. Principals that are no whole identity, or leave the trust domain open
/// (`*/ns/…`), stay as they are.
fn all_domains(matcher: &StringMatch, domains: &[&str]) -> Vec<StringMatch> {
    let text = match matcher {
        StringMatch::Exact(text) => text.to_string(),
        StringMatch::Prefix(text) => format!("{text}*"),
        StringMatch::Suffix(text) => format!("*{text}"),
        StringMatch::Regex(_) | StringMatch::Present => return vec![matcher.clone()],
    };
    let whole = text.split('/').count() == 5;
    let Some((domain, rest)) = text.split_once('/').filter(|_| whole) else { return vec![matcher.clone()] };
    let ours = domain == "cluster.local" || domains.iter().any(|td| covers(domain, td));
    if domain == "*" || !ours {
        return vec![matcher.clone()];
    }
    let mut all: Vec<StringMatch> = Vec::with_capacity(domains.len());
    for td in domains {
        let domain = if covers(domain, td) { domain } else { td };
        let expanded = parse(&format!("{domain}/{rest}"));
        if !all.contains(&expanded) {
            all.push(expanded);
        }
    }
    all
}

/// Whether a trust domain as written, `*suffix` or exact, means this one.
fn covers(written: &str, trust_domain: &str) -> bool {
    match written.strip_prefix('*') {
        Some(suffix) => trust_domain.ends_with(suffix),
        None => written == trust_domain,
    }
}

fn parse(text: &str) -> StringMatch {
    match (text.strip_prefix('*'), text.strip_suffix('*')) {
        (Some(suffix), _) => StringMatch::Suffix(suffix.into()),
        (None, Some(prefix)) => StringMatch::Prefix(prefix.into()),
        (None, None) => StringMatch::Exact(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(principal: StringMatch, want: &[&str]) {
        let got = all_domains(&principal, &["td1", "old-td"]);
        let want: Vec<_> = want.iter().map(|text| parse(text)).collect();
        assert_eq!(got, want, "{principal:?}");
    }

    #[test]
    fn principals_stand_for_themselves_in_every_trust_domain_of_the_mesh() {
        let exact = |text: &str| StringMatch::Exact(text.into());
        check(exact("td1/ns/a/sa/b"), &["td1/ns/a/sa/b", "old-td/ns/a/sa/b"]);
        check(exact("cluster.local/ns/a/sa/b"), &["td1/ns/a/sa/b", "old-td/ns/a/sa/b"]);
        check(exact("else/ns/a/sa/b"), &["else/ns/a/sa/b"]);
        check(StringMatch::Prefix("td1/ns/a/sa/".into()), &["td1/ns/a/sa/*", "old-td/ns/a/sa/*"]);
        check(StringMatch::Prefix("td1/ns/a/".into()), &["td1/ns/a/*"]);
        check(StringMatch::Suffix("/ns/a/sa/b".into()), &["*/ns/a/sa/b"]);
        check(StringMatch::Suffix("-td/ns/a/sa/b".into()), &["td1/ns/a/sa/b", "*-td/ns/a/sa/b"]);
    }
}
