//! The walk: each step prints what it does and what came back, and fails when it is not what it should be.

use crate::{
    call::{self, Client, Reply},
    processes::Mesh,
};
use anyhow::{Context, ensure};
use mesh_runtime::clock;
use std::{cell::Cell, fs, net::SocketAddr, time::Duration};

const GATEWAY: &str = "127.0.11.1:8080";
const SITE: &str = "bookshop.example";
const REVIEWS: &str = "reviews.bookshop.svc.cluster.local:9080";
const RATINGS: &str = "ratings.bookshop.svc.cluster.local:9080";

/// All steps.
pub(crate) async fn walk(mesh: &mut Mesh) -> anyhow::Result<()> {
    through_the_gateway().await?;
    mutual_tls(mesh).await?;
    canary(mesh).await?;
    denied(mesh).await?;
    live_change(mesh).await?;
    stopped_service(mesh).await?;
    numbers(mesh).await?;
    println!("\nAll steps went as they should.");
    Ok(())
}

async fn through_the_gateway() -> anyhow::Result<()> {
    step("A call through the gateway");
    println!("  $ curl -H 'Host: {SITE}' http://{GATEWAY}/");
    let reply = call::get(GATEWAY.parse()?, SITE, "/").await?;
    show(&reply);
    ensure!(reply.status == 200 && reply.body.starts_with("shop -> reviews-v"), "an unexpected answer");
    Ok(())
}

async fn mutual_tls(mesh: &Mesh) -> anyhow::Result<()> {
    step("Mutual TLS between sidecars, with the identities that both proved");
    let reply = call::get(mesh.egress("shop"), REVIEWS, "/who").await?;
    let (by, uri) = reply
        .body
        .split_once("By=")
        .and_then(|(_, rest)| {
            let by = rest.split([';', ',']).next()?;
            let uri = rest.split("URI=").nth(1)?.split([';', ',', ' ']).next()?;
            Some((by.to_owned(), uri.to_owned()))
        })
        .context("the sidecar of reviews did not say who called")?;
    println!("  shop called reviews in plain HTTP; on the wire it was TLS, and each side proved who it is:");
    println!("    client {uri}\n    server {by}");
    ensure!(uri == "spiffe://cluster.local/ns/bookshop/sa/shop", "not the caller's identity");
    ensure!(by == "spiffe://cluster.local/ns/bookshop/sa/reviews", "not the server's identity");
    let workload = SocketAddr::new(mesh.ip("reviews-v1"), 9081);
    println!("  a client without a certificate, straight to {workload}:");
    let plain = call::get(workload, REVIEWS, "/").await;
    ensure!(plain.is_err(), "plain text was accepted although mutual TLS is required");
    println!("    refused: mutual TLS is required here");
    Ok(())
}

async fn canary(mesh: &Mesh) -> anyhow::Result<()> {
    step("A canary: 90 % to v1, 10 % to v2, counted over 1,000 calls");
    let (v1, v2) = count(mesh, 1000).await?;
    println!("  reviews-v1 {v1}, reviews-v2 {v2}");
    ensure!(v1 + v2 == 1000, "calls were lost");
    ensure!((50..=150).contains(&v2), "far from one in ten");
    Ok(())
}

async fn denied(mesh: &Mesh) -> anyhow::Result<()> {
    step("A call that a policy forbids: shop to ratings");
    let reply = call::get(mesh.egress("shop"), RATINGS, "/").await?;
    show(&reply);
    ensure!(reply.status == 403, "it was not refused");
    let policy = "ns[bookshop]-policy[shop-not-to-ratings]-rule[0]";
    let line = log_line(mesh, "ratings", policy).await?;
    println!("  the sidecar of ratings says which policy refused it:\n    {line}");
    Ok(())
}

async fn live_change(mesh: &Mesh) -> anyhow::Result<()> {
    step("A change while calls go on: the tour edits canary.yaml to 50/50");
    let file = mesh.objects.join("canary.yaml");
    let text = fs::read_to_string(&file)?;
    let edited = text.replace("weight: 90", "weight: 50").replace("weight: 10", "weight: 50");
    let (lost, stop) = (Cell::new(0), Cell::new(false));
    let answered = Cell::new(0);
    let load = async {
        let mut client = Client::connect(mesh.egress("shop")).await?;
        while !stop.get() {
            match client.get(REVIEWS, "/", &[]).await {
                Ok(reply) if reply.status == 200 => answered.set(answered.get() + 1),
                _ => lost.set(lost.get() + 1),
            }
        }
        anyhow::Ok(())
    };
    let change = async {
        fs::write(&file, edited)?;
        let begun = clock::now();
        let mut asked = 0;
        // In force once the share of v2 among twenty calls is far above one in ten.
        let took = loop {
            let (_, v2) = count(mesh, 20).await?;
            asked += 20;
            if v2 >= 7 {
                break clock::since(begun);
            }
            ensure!(
                clock::since(begun) < Duration::from_secs(10),
                "the new weights are not in force after ten seconds"
            );
        };
        let (v1, v2) = count(mesh, 1000).await?;
        stop.set(true);
        println!(
            "  in force after {} ms ({asked} calls looked at); then reviews-v1 {v1}, reviews-v2 {v2}",
            took.as_millis()
        );
        ensure!(took < Duration::from_secs(1), "it took longer than a second");
        ensure!((400..=600).contains(&v2), "far from one half");
        anyhow::Ok(())
    };
    let (loaded, changed) = tokio::join!(load, async {
        let changed = change.await;
        stop.set(true);
        changed
    });
    loaded?;
    changed?;
    println!("  meanwhile {} calls were answered, {} lost", answered.get(), lost.get());
    ensure!(lost.get() == 0, "requests were lost");
    Ok(())
}

async fn stopped_service(mesh: &mut Mesh) -> anyhow::Result<()> {
    step("A service stops: without canary.yaml both versions share the calls, then v2 goes away");
    fs::remove_file(mesh.objects.join("canary.yaml"))?;
    let end = clock::now() + Duration::from_secs(10);
    let mut client = Client::connect(mesh.egress("shop")).await?;
    let mut seen = (0, 0);
    while clock::now() < end && (seen.0 < 20 || seen.1 < 20) {
        tally(&mut seen, &client.get(REVIEWS, "/", &[]).await?)?;
    }
    println!("  before: reviews-v1 {}, reviews-v2 {}", seen.0, seen.1);
    ensure!(seen.0 >= 20 && seen.1 >= 20, "both versions should be called");
    let stopped = Cell::new(false);
    let address = mesh.egress("shop");
    let load = async {
        let (mut lost, mut after) = (0, (0, 0));
        let mut client = Client::connect(address).await?;
        loop {
            match client.get(REVIEWS, "/", &[]).await {
                Ok(reply) if reply.status == 200 => {
                    if stopped.get() {
                        tally(&mut after, &reply)?;
                    }
                }
                Ok(reply) => {
                    println!("  lost: {} {}", reply.status, reply.body);
                    lost += 1;
                }
                Err(_) => lost += 1,
            }
            if after.0 + after.1 >= 200 {
                return anyhow::Ok((lost, after));
            }
        }
    };
    let stop = async {
        let stop = mesh.stop_workload("reviews-v2").await;
        stopped.set(true);
        stop
    };
    let (loaded, ended) = tokio::join!(load, stop);
    ended?;
    let (lost, after) = loaded?;
    println!("  after:  reviews-v1 {}, reviews-v2 {}; calls lost meanwhile: {lost}", after.0, after.1);
    ensure!(after.1 == 0 && lost == 0, "traffic did not move without loss");
    Ok(())
}

async fn numbers(mesh: &Mesh) -> anyhow::Result<()> {
    step("Numbers: Istio's metrics, and a line of the access log");
    let at = SocketAddr::new(mesh.ip("shop"), 15020);
    println!("  $ curl http://{at}/stats/prometheus | grep istio_requests_total");
    let reply = call::get(at, "localhost", "/stats/prometheus").await?;
    let series: Vec<&str> = reply
        .body
        .lines()
        .filter(|l| {
            l.starts_with("istio_requests_total{") && l.contains("reporter=\"source\"") && l.contains("reviews")
        })
        .collect();
    ensure!(!series.is_empty(), "no metrics");
    for line in series.iter().take(2) {
        println!("    {line}");
    }
    let line = log_line(mesh, "reviews-v1", "\"GET / HTTP/1.1\" 200").await?;
    println!("  $ tail -1 {}\n    {line}", mesh.log_path("reviews-v1").display());
    Ok(())
}

/// What a person may try next.
pub(crate) fn invite(mesh: &Mesh) {
    let objects = mesh.objects.display();
    let bin = mesh.bin().display();
    println!(
        "\nThe mesh keeps running. Try, in another terminal:\n\
         \n  curl -H 'Host: {SITE}' http://{GATEWAY}/\
         \n  curl -H 'Host: {RATINGS}' http://{}/            # shop to ratings: denied\
         \n  {bin}/meshctl proxy-status --xds-address 127.0.11.250:15010 --plaintext\
         \n  {bin}/meshctl proxy-config route --admin 127.0.11.2:15000\
         \n  {bin}/meshctl explain -f {objects} --from bookshop/shop --to http://{RATINGS}/\
         \n  edit {objects}/security.yaml\
         \n\nCtrl-C ends it and leaves nothing behind.",
        mesh.egress("shop")
    );
}

/// Calls `reviews` as shop does; how many came from v1 and from v2.
async fn count(mesh: &Mesh, calls: u32) -> anyhow::Result<(u32, u32)> {
    let mut client = Client::connect(mesh.egress("shop")).await?;
    let mut seen = (0, 0);
    for _ in 0..calls {
        tally(&mut seen, &client.get(REVIEWS, "/", &[]).await?)?;
    }
    Ok(seen)
}

fn tally(seen: &mut (u32, u32), reply: &Reply) -> anyhow::Result<()> {
    ensure!(reply.status == 200, "reviews answered {} {}", reply.status, reply.body);
    match reply.body.starts_with("reviews-v1") {
        true => seen.0 += 1,
        false => seen.1 += 1,
    }
    Ok(())
}

/// The first line of a proxy's log that holds `text`; logs are flushed once a second.
async fn log_line(mesh: &Mesh, name: &str, text: &str) -> anyhow::Result<String> {
    let end = clock::now() + Duration::from_secs(5);
    loop {
        if let Some(line) = mesh.log(name).lines().rfind(|l| l.contains(text)) {
            return Ok(line.to_owned());
        }
        ensure!(clock::now() < end, "no line with {text:?} in the log of {name}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn step(title: &str) {
    thread_local!(static NUMBER: Cell<u32> = const { Cell::new(0) });
    let number = NUMBER.replace(NUMBER.get() + 1) + 1;
    println!("\n{number}. {title}");
}

fn show(reply: &Reply) {
    let server = reply.header("server").unwrap_or("-");
    println!("  {} (server: {server}) {}", reply.status, reply.body.trim());
}
