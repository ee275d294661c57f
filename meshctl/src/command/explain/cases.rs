//! `explain --cases`: a list of cases in, a list of answers out, in the same order. Nothing in a case is fatal.

use super::{
    answer::Answer,
    case::{Call, Case},
    desk::Desk,
    objects::{Objects, with_workload},
};
use serde_json::{Value, json};

/// Answers a case; one that cannot be read has an `error` instead of results. A defect that shows in one case is
/// told as its error and costs no other case its answer.
pub(super) fn answer(case: &Value) -> Value {
    let id = case.get("id").cloned().unwrap_or(Value::Null);
    let decided = std::panic::catch_unwind(|| read_and_decide(case, id.clone()));
    decided.unwrap_or_else(|_| json!({"id": id, "error": "a defect of meshctl; please report the case", "results": []}))
}

fn read_and_decide(case: &Value, id: Value) -> Value {
    if !case.is_object() {
        return json!({"id": id, "error": "not a case: no JSON object", "results": []});
    }
    match serde_json::from_value::<Case>(case.clone()) {
        Err(reason) => json!({"id": id, "error": format!("not a case: {reason}"), "results": []}),
        Ok(case) => decided(&case),
    }
}

fn decided(case: &Case) -> Value {
    let role = match case.workload.role() {
        Ok(role) => role,
        Err(error) => return json!({"id": case.id, "error": error, "results": []}),
    };
    let mut objects = Objects::new(case.mesh_config().as_deref());
    objects.add_text(&case.objects());
    let (mesh, diagnostics, who) = with_workload(objects, &case.workload, role);
    let own_address = who.facts.addresses.first().copied();
    let mut desk = Desk::new(&mesh, who);
    let results: Vec<Value> = case
        .calls
        .iter()
        .map(|call| match Call::read(call) {
            Ok(mut call) => {
                let inbound = call.direction.as_deref() == Some("inbound");
                call.destination_ip = call.destination_ip.or(call.address).or(own_address.filter(|_| inbound));
                desk.decide(&call).to_value()
            }
            Err(reason) => Answer::refuse("protocol error", format!("not a call: {reason}")).to_value(),
        })
        .collect();
    let mut answer = json!({"id": case.id, "results": results});
    if !diagnostics.is_empty() {
        answer["diagnostics"] = diagnostics.iter().map(|d| Value::from(d.to_string())).collect();
    }
    answer
}

/// One line a call, for `-o table`.
pub(super) fn rows(answers: &[Value]) -> Vec<Vec<String>> {
    let text = |v: &Value| match v {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut rows = Vec::new();
    for answer in answers {
        if let Some(error) = answer.get("error") {
            rows.push(vec![text(&answer["id"]), "-".to_owned(), "error".to_owned(), text(error), "-".to_owned()]);
        }
        for (position, result) in answer["results"].as_array().into_iter().flatten().enumerate() {
            let policy = match &result["policy"] {
                Value::Null => "-".to_owned(),
                p => format!("{} {}/{}[{}]", text(&p["action"]), text(&p["namespace"]), text(&p["name"]), p["rule"]),
            };
            let leads_to = if result["cluster"].is_null() { &result["reason"] } else { &result["cluster"] };
            rows.push(vec![
                text(&answer["id"]),
                position.to_string(),
                text(&result["outcome"]),
                text(leads_to),
                policy,
            ]);
        }
    }
    rows
}
