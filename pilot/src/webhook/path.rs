//! What the path of `/inject` says of the cluster that asks: `/inject/KEY/VALUE/…`, or `/inject/:ENV:NAME=VALUE:ENV:…`.

use std::collections::BTreeMap;

/// Environment of the proxy, by name.
pub(crate) type Environment = BTreeMap<String, String>;

const OLD_FORM: &str = ":ENV:";
/// Stands for a slash inside of a value.
const SLASH: &str = "--slash--";

/// What is below `/inject`, with or without its first slash. Escapes of URLs are read. A last key without a value is left
/// out.
pub(super) fn environment(below: &str) -> Environment {
    let below = below.trim_start_matches('/');
    if below.starts_with(OLD_FORM) {
        let pairs = below.split(OLD_FORM).filter_map(|pair| pair.split_once('='));
        return pairs.filter(|(name, _)| !name.is_empty()).map(|(name, value)| (decode(name), decode(value))).collect();
    }
    let words: Vec<&str> = below.split('/').filter(|word| !word.is_empty()).collect();
    let (pairs, rest) = words.as_chunks();
    if let [key] = rest {
        tracing::warn!(key, "the path of a question about a pod has a key without a value");
    }
    let name = |key: &str| match key {
        "cluster" => "ISTIO_META_CLUSTER_ID".to_owned(),
        "net" => "ISTIO_META_NETWORK".to_owned(),
        other => decode(other).to_uppercase(),
    };
    pairs.iter().map(|[key, value]| (name(key), decode(value).replace(SLASH, "/"))).collect()
}

fn decode(text: &str) -> String {
    // To the decoder of forms a plus is a blank, and two more characters end a word.
    let text = text.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    form_urlencoded::parse(text.as_bytes()).next().map(|(text, _)| text.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(below: &str) -> Vec<(String, String)> {
        environment(below).into_iter().collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn a_path_names_cluster_network_and_other_environment() {
        assert_eq!(said(""), []);
        assert_eq!(said("/"), []);
        let cluster = [pair("ISTIO_META_CLUSTER_ID", "east"), pair("ISTIO_META_NETWORK", "n/1")];
        assert_eq!(said("/cluster/east/net/n--slash--1/"), cluster);
        assert_eq!(said("/some_key/a%20b+c"), [pair("SOME_KEY", "a b+c")]);
    }

    #[test]
    fn a_last_key_without_a_value_is_left_out() {
        assert_eq!(said("/cluster/east/net"), [pair("ISTIO_META_CLUSTER_ID", "east")]);
    }

    #[test]
    fn the_old_form_names_environment_as_it_is() {
        assert_eq!(said("/:ENV:a=b:ENV:c=d=e:ENV:f:ENV:=g"), [pair("a", "b"), pair("c", "d=e")]);
    }
}
