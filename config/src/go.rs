//! Texts as Go's library reads them, which is how Istio reads annotations and variables.

/// Whether a text is true; `None`: neither true nor false.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boolean_is_one_of_twelve_texts() {
        let of = |texts: [&str; 6]| texts.map(boolean);
        assert_eq!(of(["1", "t", "T", "true", "TRUE", "True"]), [Some(true); 6]);
        assert_eq!(of(["0", "f", "F", "false", "FALSE", "False"]), [Some(false); 6]);
        assert_eq!(of(["", "yes", "no", "tRUE", " true", "2"]), [None; 6]);
    }
}
