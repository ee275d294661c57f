//! Where would this call go, and why? Decided by the very code of pilot and proxy, from objects in files.

mod answer;
mod case;
mod cases;
mod desk;
mod gateway;
mod inbound;
mod objects;
mod outbound;
mod request;
mod story;

use crate::{
    cli::ExplainArgs,
    context::Context,
    report::{Report, Table},
    usage::Usage,
};
use anyhow::{Context as _, Result, bail};
use case::{Call, Direction, Source};
use objects::Objects;
use serde_json::Value;
use std::path::Path;
use story::{Question, Story};

/// Answers one question, or a file of cases.
pub(crate) fn run(args: &ExplainArgs, context: &Context) -> Result<Report> {
    match &args.cases {
        Some(file) => run_cases(file),
        None => run_one(args, context),
    }
}

fn run_cases(file: &Path) -> Result<Report> {
    let text = match file.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()).context("cannot read standard input")?,
        false => std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?,
    };
    let list: Vec<Value> =
        serde_json::from_str(&text).with_context(|| format!("{} is not a JSON list of cases", file.display()))?;
    let answers: Vec<Value> = list.iter().map(cases::answer).collect();
    let mut table = Table::new(&["CASE", "CALL", "OUTCOME", "CLUSTER OR REASON", "POLICY"]);
    cases::rows(&answers).into_iter().for_each(|row| table.push(row));
    Ok(Report::table(table, Value::from(answers)))
}

fn run_one(args: &ExplainArgs, context: &Context) -> Result<Report> {
    let mesh_config = match &args.mesh_config_file {
        Some(file) => Some(std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?),
        None => None,
    };
    let mut objects = Objects::new(mesh_config.as_deref());
    objects.add_files(&args.filename)?;
    let (mesh, findings) = objects.compile();
    let story = Story::tell(&mesh, findings, &question(args, context)?)?;
    Ok(Report::text(story.to_text(), story.to_value()))
}

fn question(args: &ExplainArgs, context: &Context) -> Result<Question> {
    let to = args
        .to
        .as_deref()
        .ok_or_else(|| Usage::new("--to is needed, as in --to http://reviews:9080/ (or --cases FILE)"))?;
    let Some(direction) = Direction::parse(&args.direction) else {
        bail!(Usage::new(format!("--direction is outbound, inbound or gateway, not {:?}", args.direction)));
    };
    let mut call = call_to(to, direction)?;
    call.direction = Some(args.direction.to_ascii_lowercase());
    call.method = args.method.clone();
    call.headers = args.header.iter().map(|h| header(h)).collect::<Result<_>>()?;
    call.address = args.address;
    if let Some(tls) = &args.tls {
        if !["plaintext", "tls", "mtls"].contains(&tls.as_str()) {
            bail!(Usage::new(format!("--tls is plaintext, tls or mtls, not {tls:?}")));
        }
        call.tls = Some(tls.clone());
    }
    call.sni = args.sni.clone();
    call.source = Some(Source { principal: args.principal.clone(), ip: args.source_ip, remote_ip: args.remote_ip });
    Ok(Question { from: args.from.clone(), direction, call, namespace: context.namespace().to_owned() })
}

/// From a URL: scheme http, https or tcp; the path is taken as it stands.
fn call_to(url: &str, direction: Direction) -> Result<Call> {
    let (scheme, rest) = url
        .split_once("://")
        .ok_or_else(|| Usage::new(format!("{url:?} is not a URL such as http://reviews:9080/")))?;
    let (authority, path) = match rest.find(['/', '?', '#']) {
        Some(at) if rest[at..].starts_with('/') => (&rest[..at], rest[at..].to_owned()),
        Some(at) => (&rest[..at], format!("/{}", &rest[at..])),
        None => (rest, "/".to_owned()),
    };
    if authority.is_empty() {
        bail!(Usage::new(format!("{url:?} names no host")));
    }
    let (protocol, tls, default_port) = match scheme.to_ascii_lowercase().as_str() {
        "http" => ("http", None, Some(80)),
        "grpc" => ("http2", None, Some(80)),
        // What an application encrypts by itself is a stream of bytes; a gateway opens it.
        "https" if direction == Direction::Gateway => ("http", Some("tls".to_owned()), Some(443)),
        "https" => ("tcp", None, Some(443)),
        "tcp" => ("tcp", None, None),
        other => bail!(Usage::new(format!("scheme {other:?} is not http, https, grpc or tcp"))),
    };
    let (_, port) = mesh_config::name::split_authority(authority);
    let port = port.map(|p| u64::from(p.get())).or(default_port);
    if port.is_none() {
        bail!(Usage::new(format!("{url:?} names no port")));
    }
    Ok(Call {
        port,
        tls,
        protocol: Some(protocol.to_owned()),
        host: Some(authority.to_owned()),
        path: Some(path),
        ..Call::default()
    })
}

fn header(text: &str) -> Result<(String, String)> {
    let at =
        text.find(['=', ':']).ok_or_else(|| Usage::new(format!("header {text:?} is not of the form name=value")))?;
    let (name, value) = (text[..at].trim().to_ascii_lowercase(), text[at + 1..].trim().to_owned());
    if name.is_empty() {
        bail!(Usage::new(format!("header {text:?} has no name")));
    }
    Ok((name, value))
}

#[cfg(test)]
mod tests;
