//! Trust domain and aliases in policies: a principal of one of them stands for the same account in all of them.
//!
//! `cluster.local` in a policy means the mesh's own trust domain, whatever it is called. Only texts of five segments
//! (`DOMAIN/ns/NAMESPACE/sa/ACCOUNT`) say something about a trust domain; others are left as they are.

use mesh_config::model::Settings;

/// The mesh's trust domain, then its aliases.
pub(super) struct Domains(Vec<String>);

/// What stands for the mesh's own trust domain.
const PLACEHOLDER: &str = "cluster.local";

impl Domains {
    pub(super) fn of(settings: &Settings) -> Domains {
        let own = std::iter::once(&settings.trust_domain);
        Domains(own.chain(&settings.trust_domain_aliases).map(|td| td.as_str().to_owned()).collect())
    }

    /// The principals that one principal of a policy stands for.
    pub(super) fn expand(&self, principal: &str) -> Vec<String> {
        let as_is = || vec![principal.to_owned()];
        let Some((domain, rest)) = principal.split_once('/') else { return as_is() };
        if rest.split('/').count() != 4 || domain == "*" {
            return as_is();
        }
        if domain != PLACEHOLDER && !self.0.iter().any(|known| matches_either_way(domain, known)) {
            return as_is();
        }
        let mut expanded: Vec<String> = Vec::new();
        for known in &self.0 {
            // `*-td` covers this name already.
            let covered = domain.strip_prefix('*').is_some_and(|suffix| known.ends_with(suffix));
            let text = if covered { principal.to_owned() } else { format!("{known}/{rest}") };
            if !expanded.contains(&text) {
                expanded.push(text);
            }
        }
        expanded
    }

    /// The trust domains that one trust domain of a policy stands for.
    pub(super) fn expand_domain<'a>(&'a self, domain: &'a str) -> Vec<&'a str> {
        match self.0.iter().any(|known| known == domain) {
            true => self.0.iter().map(String::as_str).collect(),
            false => vec![domain],
        }
    }
}

/// Equal, or one is a pattern (`x*`, `*x`) that the other matches.
fn matches_either_way(a: &str, b: &str) -> bool {
    let covers = |pattern: &str, text: &str| {
        pattern.strip_suffix('*').is_some_and(|p| text.starts_with(p))
            || pattern.strip_prefix('*').is_some_and(|s| text.ends_with(s))
    };
    a == b || covers(a, b) || covers(b, a)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(domains: &[&str], principal: &str, want: &[&str]) {
        let domains = Domains(domains.iter().map(|d| d.to_string()).collect());
        assert_eq!(domains.expand(principal), want, "{principal}");
    }

    #[test]
    fn principals_stand_for_all_aliases() {
        check(&["td1", "td2"], "td2/ns/a/sa/b", &["td1/ns/a/sa/b", "td2/ns/a/sa/b"]);
        check(&["td1", "td2"], "cluster.local/ns/a/sa/*", &["td1/ns/a/sa/*", "td2/ns/a/sa/*"]);
        check(&["td1", "cluster.local"], "cluster.local/ns/a/sa/b", &["td1/ns/a/sa/b", "cluster.local/ns/a/sa/b"]);
        check(&["td1"], "other/ns/a/sa/b", &["other/ns/a/sa/b"]);
        check(&["td1", "td2"], "td*/ns/a/sa/b", &["td1/ns/a/sa/b", "td2/ns/a/sa/b"]);
        check(&["td1", "foobar"], "*bar/ns/a/sa/b", &["td1/ns/a/sa/b", "*bar/ns/a/sa/b"]);
        check(&["x-td", "y-td"], "*-td/ns/a/sa/b", &["*-td/ns/a/sa/b"]);
    }

    #[test]
    fn texts_without_a_trust_domain_are_left_alone() {
        for principal in ["*", "*/ns/a/sa/b", "td1", "td1/ns/a", "td1/ns/a/sa/b/c"] {
            check(&["td1", "td2"], principal, &[principal]);
        }
    }
}
