//! One call told from end to end: the caller's proxy, then the proxies of the endpoints that it may reach.

use super::{
    answer::{Answer, Outcome, PolicyName},
    case::{Call, CallTls, Direction, Source},
    desk::Desk,
    objects::{self, Who, name_of, workloads},
    outbound,
};
use crate::usage::Usage;
use anyhow::{Result, bail};
use mesh_config::{
    diagnostic::{Diagnostic, Severity},
    kind::Role,
    model::Workload,
};
use mesh_pilot::Mesh;
use serde_json::{Value, json};
use std::{fmt::Write as _, sync::Arc};

/// Most endpoints whose proxies are asked.
const MAX_ENDPOINTS: usize = 32;
/// Most findings about objects that are shown.
const MAX_FINDINGS: usize = 10;

/// What a person asked.
pub(super) struct Question {
    /// The caller; for `gateway` the gateway's workload; may be left out for `inbound`.
    pub(super) from: Option<String>,
    pub(super) direction: Direction,
    /// As it leaves the caller.
    pub(super) call: Call,
    /// Namespace of names that have none.
    pub(super) namespace: String,
}

/// One proxy's decision.
struct Hop {
    side: &'static str,
    proxy: String,
    /// Other proxies that decide the very same.
    alike: Vec<String>,
    answer: Answer,
}

/// The decisions on the way, in order.
pub(super) struct Story {
    question: String,
    caller: String,
    hops: Vec<Hop>,
    notes: Vec<String>,
    findings: Vec<Diagnostic>,
}

impl Story {
    /// Decides, hop by hop, until the call is refused, answered or at an application.
    pub(super) fn tell(mesh: &Mesh, findings: Vec<Diagnostic>, question: &Question) -> Result<Story> {
        let call = &question.call;
        let role = if question.direction == Direction::Gateway { Role::Gateway } else { Role::Sidecar };
        let who = match &question.from {
            Some(from) => Some(Who::of(mesh, &*objects::named(mesh, from, &question.namespace)?, role)),
            None => None,
        };
        let mut story = Story {
            question: describe(call),
            caller: who.as_ref().map_or_else(|| "a caller outside the mesh".to_owned(), describe_who),
            hops: Vec::new(),
            notes: Vec::new(),
            findings: findings.into_iter().filter(|d| d.severity != Severity::Info).take(MAX_FINDINGS).collect(),
        };
        match (question.direction, who) {
            (Direction::Outbound | Direction::Gateway, None) => {
                bail!(Usage::new("--from is needed: the workload whose proxy decides (NAMESPACE/NAME or labels)"))
            }
            (Direction::Inbound, who) => story.arrive_at_host(mesh, who.as_ref(), call, &question.namespace)?,
            (side, Some(who)) => {
                let mut desk = Desk::new(mesh, who);
                let answer = desk.decide(call);
                let side = if side == Direction::Gateway { "gateway" } else { "outbound" };
                let next = all_backends(&mut desk, call, &answer);
                story.hops.push(Hop { side, proxy: desk.who().display(), alike: Vec::new(), answer });
                for answer in next.iter().filter(|a| a.outcome == Outcome::Forward) {
                    story.arrive_at_endpoints(mesh, desk.who(), call, answer);
                }
            }
        }
        Ok(story)
    }

    /// At the workload that has the host's address, or at all endpoints of the service of that name.
    fn arrive_at_host(&mut self, mesh: &Mesh, from: Option<&Who>, call: &Call, namespace: &str) -> Result<()> {
        let host = call.host.as_deref().unwrap_or_default();
        let name = &*mesh_config::name::host_of_authority(host);
        let address = name.parse().ok();
        let direct = workloads(mesh).find(|w| address.is_some_and(|a| w.addresses.contains(&a)));
        let mut arriving = Call { direction: Some("inbound".to_owned()), ..call.clone() };
        sign(&mut arriving, from);
        if let Some(workload) = direct {
            self.arrive(mesh, workload, arriving);
            return Ok(());
        }
        // What the host means is what it means to a client beside it.
        let client = match from {
            Some(who) => who.clone(),
            None => match objects::workloads(mesh).find(|w| *w.info.namespace == *namespace) {
                Some(any) => Who::of(mesh, any, Role::Sidecar),
                None => {
                    bail!("no workload has the address {name:?}, and namespace {namespace:?} has none to resolve it")
                }
            },
        };
        let mut desk = Desk::new(mesh, client);
        let answer = desk.decide(&Call { direction: Some("outbound".to_owned()), tls: None, ..call.clone() });
        if answer.endpoints.is_empty() {
            bail!("{name:?} is neither the address of a workload nor a service with endpoints");
        }
        for endpoint in answer.endpoints.iter().take(MAX_ENDPOINTS) {
            if let Some(workload) = workloads(mesh).find(|w| *w.uid == *endpoint.id) {
                self.arrive(mesh, workload, Call { port: Some(endpoint.port.into()), ..arriving.clone() });
            }
        }
        Ok(())
    }

    fn arrive_at_endpoints(&mut self, mesh: &Mesh, from: &Who, call: &Call, answer: &Answer) {
        let principal = outbound::proves(answer, from);
        for endpoint in answer.endpoints.iter().take(MAX_ENDPOINTS) {
            let Some(workload) = workloads(mesh).find(|w| *w.uid == *endpoint.id) else {
                self.notes.push(format!("{} is outside the mesh: nothing more decides", endpoint.address));
                continue;
            };
            if workload.identity.is_none() {
                self.notes
                    .push(format!("{} has no identity, so no proxy of the mesh is in front of it", endpoint.address));
                continue;
            }
            let mut arriving = Call {
                direction: Some("inbound".to_owned()),
                port: Some(endpoint.port.into()),
                path: answer.rewritten_path.clone().or_else(|| call.path.clone()),
                host: answer.rewritten_host.clone().or_else(|| call.host.clone()),
                address: workload.addresses.first().copied(),
                destination_ip: None,
                sni: None,
                source: None,
                tls: None,
                ..call.clone()
            };
            arriving.source = Some(Source {
                principal: principal.clone(),
                ip: from.facts.addresses.first().copied(),
                remote_ip: call.source.as_ref().and_then(|s| s.remote_ip),
            });
            self.arrive(mesh, workload, arriving);
        }
    }

    fn arrive(&mut self, mesh: &Mesh, workload: &Arc<Workload>, mut call: Call) {
        call.destination_ip = call.destination_ip.or(workload.addresses.first().copied());
        let mut desk = Desk::new(mesh, Who::of(mesh, workload, Role::Sidecar));
        let answer = desk.decide(&call);
        let proxy = desk.who().display();
        match self.hops.last_mut().filter(|h| h.side == "inbound" && h.answer.to_value() == answer.to_value()) {
            Some(same) => same.alike.push(proxy),
            None => self.hops.push(Hop { side: "inbound", proxy, alike: Vec::new(), answer }),
        }
    }

    /// As JSON.
    pub(super) fn to_value(&self) -> Value {
        let hops: Vec<Value> = self
            .hops
            .iter()
            .map(|hop| {
                let mut value = json!({"side": hop.side, "proxy": hop.proxy, "decision": hop.answer.to_value()});
                if !hop.alike.is_empty() {
                    value["alike"] = hop.alike.clone().into();
                }
                value
            })
            .collect();
        json!({
            "call": self.question, "from": self.caller, "hops": hops, "notes": self.notes,
            "diagnostics": self.findings.iter().map(|d| d.to_string()).collect::<Vec<_>>(),
        })
    }

    /// For a person.
    pub(super) fn to_text(&self) -> String {
        let mut out = String::new();
        line(&mut out, "call", &self.question);
        line(&mut out, "from", &self.caller);
        for hop in &self.hops {
            let alike = match hop.alike.len() {
                0 => String::new(),
                _ => format!(" (and the same: {})", hop.alike.join(", ")),
            };
            let _ = writeln!(out, "\n{}: the proxy of {}{alike}", hop.side, hop.proxy);
            tell(&mut out, &hop.answer, hop.side);
        }
        if !self.notes.is_empty() {
            let _ = writeln!(out);
            self.notes.iter().for_each(|note| line(&mut out, "note", note));
        }
        if !self.findings.is_empty() {
            let _ = writeln!(out, "\nfindings about the objects");
            for finding in &self.findings {
                let _ = writeln!(out, "  {finding}");
            }
        }
        out
    }
}

/// The decision once for each of the rule's backends.
fn all_backends(desk: &mut Desk<'_>, call: &Call, first: &Answer) -> Vec<Answer> {
    let mut answers = vec![first.clone()];
    let mut draw = 0;
    // Each backend takes as many draws as its weight; the last needs no end.
    for share in first.backends.iter().rev().skip(1).rev() {
        draw += u64::from(share.weight);
        desk.set_draw(draw);
        answers.push(desk.decide(call));
    }
    desk.set_draw(0);
    answers
}

/// A caller of the mesh proves its identity, if nothing else was said.
fn sign(call: &mut Call, from: Option<&Who>) {
    let source = call.source.get_or_insert_default();
    if let Some(who) = from {
        source.ip = source.ip.or(who.facts.addresses.first().copied());
        if call.tls.is_none() && source.principal.is_none() {
            source.principal = who.identity().map(|id| id.uri());
        }
    }
}

fn describe(call: &Call) -> String {
    let tls = match call.tls() {
        CallTls::Plaintext => "",
        CallTls::Tls => " over TLS",
        CallTls::Mtls => " over mutual TLS",
    };
    let host = call.host.as_deref().unwrap_or_default();
    if call.is_http() {
        let (method, path) = (call.method.as_deref().unwrap_or("GET"), call.path.as_deref().unwrap_or("/"));
        return format!("{method} http://{host}{path}{tls}");
    }
    format!("connection to {host}{tls}")
}

fn describe_who(who: &Who) -> String {
    let name = format!("{}/{}", who.facts.namespace, name_of(&who.instance.workload));
    match who.identity() {
        Some(identity) => format!("{name} ({identity})"),
        None => format!("{name} (no identity)"),
    }
}

fn line(out: &mut String, label: &str, value: &str) {
    let _ = writeln!(out, "  {label:<15}{value}");
}

fn tell(out: &mut String, answer: &Answer, side: &str) {
    let outcome = match answer.outcome {
        Outcome::Forward => "forward",
        Outcome::Refuse => "refuse",
        Outcome::Redirect => "redirect",
        Outcome::Answer => "answer",
    };
    let status = answer.status.map(|s| format!(" {s}")).unwrap_or_default();
    let reason = answer.reason.map(|r| format!(": {r}")).unwrap_or_default();
    line(out, "outcome", &format!("{outcome}{status}{reason}"));
    let mut optional = |label: &str, value: &Option<String>| {
        if let Some(value) = value {
            line(out, label, value);
        }
    };
    optional("because", &answer.detail);
    optional("location", &answer.location);
    optional("path", &answer.path);
    optional("sent as path", &answer.rewritten_path);
    optional("sent as host", &answer.rewritten_host);
    optional("listener", &answer.listener);
    optional("filter chain", &answer.filter_chain);
    optional("route config", &answer.route_config);
    optional("virtual host", &answer.virtual_host);
    optional("route", &answer.route);
    optional("rule of", &answer.object);
    optional("cluster", &answer.cluster);
    for share in &answer.backends {
        line(out, "split", &format!("{:>3}  {}", share.weight, share.cluster));
    }
    if let Some(security) = &answer.security {
        line(out, "transport", &format!("{} ({})", security.transport, security.because));
    }
    tell_policies(out, answer, side);
    for endpoint in &answer.endpoints {
        let workload = endpoint.workload.as_deref().unwrap_or("-");
        let identity = endpoint.identity.as_deref().unwrap_or("no identity");
        line(out, "endpoint", &format!("{} {} {workload} {identity}", endpoint.address, endpoint.status));
    }
}

fn tell_policies(out: &mut String, answer: &Answer, side: &str) {
    let name = |p: &PolicyName| format!("{} {}/{} rule {}", p.action, p.namespace, p.name, p.rule);
    if let Some(policy) = &answer.policy {
        line(out, "policy", &name(policy));
    } else if side == "inbound" && answer.outcome == Outcome::Forward {
        line(out, "policy", "none decides: no ALLOW policy holds for this workload, and no DENY rule matches");
    }
    for audited in &answer.audited {
        line(out, "audited by", &name(audited));
    }
    if let Some(shadow) = &answer.shadow {
        let said = |hit: Option<bool>| match hit {
            Some(true) => "a rule matches",
            Some(false) => "no rule matches",
            None => "no such policy",
        };
        line(out, "dry run", &format!("ALLOW: {}; DENY: {}", said(shadow.allow), said(shadow.deny)));
    }
}
