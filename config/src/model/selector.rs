//! Kubernetes' selectors over labels, with conditions besides equality.

use super::Labels;
use std::sync::Arc;

/// What labels must say. Without any condition it selects everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelSelector {
    /// These must be there and equal.
    pub labels: Labels,
    /// All of these must hold.
    pub conditions: Vec<Condition>,
}

/// A condition on one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The label.
    pub key: Arc<str>,
    /// What is asked of it.
    pub operator: Operator,
    /// For [`Operator::In`] and [`Operator::NotIn`].
    pub values: Vec<Arc<str>>,
}

/// What a condition asks of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// It is there, with one of the values.
    In,
    /// It is not there, or has none of the values.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

impl LabelSelector {
    /// Whether something labelled so is selected.
    pub fn selects(&self, labels: &Labels) -> bool {
        self.labels.selects(labels) && self.conditions.iter().all(|condition| condition.holds(labels))
    }
}

impl Condition {
    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let is_listed = value.is_some_and(|value| self.values.contains(value));
        match self.operator {
            Operator::In => is_listed,
            Operator::NotIn => !is_listed,
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_kubernetes_own() {
        let holds = |operator, labels: &[(&str, &str)]| {
            let condition = Condition { key: "k".into(), operator, values: vec!["a".into(), "b".into()] };
            let selector = LabelSelector { labels: Labels::default(), conditions: vec![condition] };
            selector.selects(&labels.iter().copied().collect())
        };
        for (operator, absent, listed, other) in [
            (Operator::In, false, true, false),
            (Operator::NotIn, true, false, true),
            (Operator::Exists, false, true, true),
            (Operator::DoesNotExist, true, false, false),
        ] {
            let seen = (holds(operator, &[]), holds(operator, &[("k", "b")]), holds(operator, &[("k", "c")]));
            assert_eq!(seen, (absent, listed, other), "{operator:?}");
        }
        let both = LabelSelector { labels: [("x", "y")].into_iter().collect(), conditions: Vec::new() };
        assert!(both.selects(&[("x", "y"), ("z", "")].into_iter().collect()) && !both.selects(&Labels::default()));
        assert!(LabelSelector::default().selects(&Labels::default()));
    }
}
