//! The structural schema of a form, as OpenAPI v3 in a CustomResourceDefinition has it.

use mesh_config::crd::form::{Fact, Field, Form, Holds, WHOLE_SPAN};
use serde_json::{Map, Value, json};

/// Greatest whole number of a field without a sign: they have 32 bits.
const UNSIGNED: u32 = u32::MAX;

/// A message.
pub(crate) fn of_form(form: &Form) -> Value {
    let mut schema = Map::new();
    let required: Vec<&str> = form.fields.iter().filter(|f| f.is_required()).map(|f| f.name).collect();
    if !form.fields.is_empty() {
        let properties: Map<String, Value> =
            form.fields.iter().map(|field| (field.name.to_owned(), of_field(field))).collect();
        schema.insert("properties".into(), properties.into());
    }
    if !required.is_empty() {
        schema.insert("required".into(), json!(required));
    }
    schema.insert("type".into(), json!("object"));
    for fact in form.together {
        apply(&mut schema, fact);
    }
    schema.into()
}

fn of_field(field: &Field) -> Value {
    let mut schema = Map::new();
    schema.insert("description".into(), json!(field.text));
    schema.extend(of_holds(field.holds));
    for fact in field.facts {
        apply(&mut schema, fact);
    }
    schema.into()
}

fn of_holds(holds: Holds) -> Map<String, Value> {
    let schema = match holds {
        Holds::Text | Holds::Filled | Holds::SpanOrZero | Holds::Judged(_) => json!({"type": "string"}),
        Holds::Bool => json!({"type": "boolean"}),
        Holds::Whole(least, _) if least < 0 => json!({"type": "integer", "format": "int32"}),
        Holds::Whole(..) | Holds::Port => json!({"type": "integer", "minimum": 0, "maximum": UNSIGNED}),
        Holds::Number(..) => json!({"type": "number", "format": "double"}),
        Holds::Span => {
            let mut span = of_holds(Holds::Text);
            apply(&mut span, &WHOLE_SPAN);
            span.into()
        }
        Holds::Word(words) => json!({"type": "string", "enum": words}),
        Holds::Labels => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        Holds::List(of) => json!({"type": "array", "items": of_holds(*of)}),
        Holds::Map(of) => json!({"type": "object", "additionalProperties": of_holds(*of)}),
        Holds::Of(form) => of_form(form),
        Holds::Struct => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
        Holds::Any => json!({"x-kubernetes-preserve-unknown-fields": true}),
        Holds::IntOrString => {
            json!({"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": true})
        }
    };
    let Value::Object(schema) = schema else { unreachable!("every schema is a map") };
    schema
}

fn apply(schema: &mut Map<String, Value>, fact: &Fact) {
    let is_list = schema.get("type") == Some(&json!("array"));
    match *fact {
        Fact::Required | Fact::Default(_) | Fact::Inert(_) | Fact::Injected | Fact::Strict | Fact::Forbidden => {}
        Fact::Distinct => drop(schema.insert("x-kubernetes-list-type".into(), json!("set"))),
        Fact::Signed => {
            schema.remove("minimum");
            schema.remove("maximum");
            schema.insert("format".into(), json!("int32"));
        }
        Fact::Nullable => drop(schema.insert("nullable".into(), json!(true))),
        Fact::Least(number) => drop(schema.insert("minimum".into(), json!(number))),
        Fact::Most(number) => drop(schema.insert("maximum".into(), json!(number))),
        Fact::LeastLength(length) => drop(schema.insert("minLength".into(), json!(length))),
        Fact::MostLength(length) => drop(schema.insert("maxLength".into(), json!(length))),
        Fact::Pattern(pattern) => drop(schema.insert("pattern".into(), json!(pattern))),
        Fact::LeastEntries(count) => {
            schema.insert(if is_list { "minItems" } else { "minProperties" }.into(), json!(count));
        }
        Fact::MostEntries(count) => {
            schema.insert(if is_list { "maxItems" } else { "maxProperties" }.into(), json!(count));
        }
        Fact::Each(facts) => {
            let entry = schema.get_mut(if is_list { "items" } else { "additionalProperties" });
            let Some(Value::Object(entry)) = entry else { panic!("only lists and maps have entries") };
            facts.iter().for_each(|fact| apply(entry, fact));
        }
        Fact::KeyedBy(name) => {
            schema.insert("x-kubernetes-list-type".into(), json!("map"));
            schema.insert("x-kubernetes-list-map-keys".into(), json!([name]));
        }
        Fact::Rule(rule, message) => {
            let rules = schema.entry("x-kubernetes-validations").or_insert(json!([]));
            let Value::Array(rules) = rules else { unreachable!("rules are a list") };
            rules.push(json!({"rule": rule, "message": message}));
        }
        Fact::OneOf(names) => one_of(schema, names),
    }
}

/// At most one of these: none, or exactly one.
fn one_of(schema: &mut Map<String, Value>, names: &[&str]) {
    let each: Vec<Value> = names.iter().map(|name| json!({"required": [name]})).collect();
    let mut ways = vec![json!({"not": {"anyOf": each.clone()}})];
    ways.extend(each);
    if let Some(first) = schema.remove("oneOf") {
        schema.insert("allOf".into(), json!([{"oneOf": first}]));
    }
    match schema.get_mut("allOf") {
        Some(Value::Array(all)) => all.push(json!({"oneOf": ways})),
        _ => drop(schema.insert("oneOf".into(), ways.into())),
    }
}
