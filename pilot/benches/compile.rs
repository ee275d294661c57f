//! What compiling costs: a whole mesh, one endpoint more, one route changed.
//!
//! `cargo bench -p mesh-pilot --no-default-features --bench compile [services]`

use mesh_config::kind::Role;
use mesh_pilot::{
    ProxyFacts, World, changed, compile, compile::Compiler, offline, scope, source::memory, world::Touched,
};
use std::{
    fmt::Write,
    time::{Duration, Instant},
};

const ENDPOINTS: usize = 10;
const NAMESPACES: usize = 50;

#[expect(clippy::print_stdout, reason = "its output is its result")]
fn main() {
    let asked = std::env::args().skip(1).find_map(|arg| arg.parse().ok());
    let services: usize = asked.unwrap_or(5_000);
    let text = objects(services);
    let mut world = World::default();

    let (changes, read) = timed(|| memory::batch("objects", &text));
    let (_, parse) = timed(|| world.apply(changes));
    let (first, whole) = timed(|| compile(&world, None));
    let (second, same) = timed(|| compile(&world, Some(&first)));
    assert!(changed(&first, &second).is_empty());
    world.apply(memory::batch("more", &service(services, 0)));
    let (third, one) = timed(|| compile(&world, Some(&second)));
    assert!(!changed(&second, &third).is_empty());

    let mut compiler = Compiler::default();
    let base = compiler.compile(&world, &Touched::EVERYTHING, None);
    let (moved, lane) = timed(|| compiler.compile(&world, &Touched::default(), Some(&base)));
    assert!(changed(&base, &moved).is_empty());

    let facts = ProxyFacts {
        namespace: "ns-1".into(),
        service_account: "default".into(),
        lists_secrets: false,
        role: Role::Sidecar,
        workload: None,
        labels: Default::default(),
        addresses: Vec::new(),
    };
    let (_, visible) = timed(|| scope::visible(&third, &facts));
    let (_, all) = timed(|| offline::everything(&third, &facts));

    println!(
        "{services} services x {ENDPOINTS} endpoints, {} parts, {} bytes of YAML",
        third.all().count(),
        text.len()
    );
    for (what, took) in [
        ("read", read),
        ("parse", parse),
        ("compile, first", whole),
        ("compile, nothing changed", same),
        ("compile, one service more", one),
        ("compile, nothing touched", lane),
        ("visible to one proxy", visible),
        ("children of every service", all),
    ] {
        println!("{what:30} {took:?}");
    }
}

#[expect(clippy::disallowed_methods, reason = "it is built without the crate that has the clock")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let value = work();
    (value, start.elapsed())
}

fn objects(services: usize) -> String {
    (0..services).map(|i| service(i, ENDPOINTS)).collect()
}

/// A service with its endpoints; every fifth has a route and a rule.
fn service(i: usize, endpoints: usize) -> String {
    let ns = i % NAMESPACES;
    let mut text = format!(
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: s{i}, namespace: ns-{ns}}}\nspec:\n  \
         hosts: [s{i}.test]\n  location: MESH_INTERNAL\n  resolution: STATIC\n  \
         ports: [{{number: 80, name: http, protocol: HTTP}}]\n  endpoints:\n"
    );
    for e in 0..endpoints {
        let (high, low) = (i / 250, i % 250);
        writeln!(text, "  - {{address: 10.{high}.{low}.{e}, labels: {{app: s{i}, version: v{}}}}}", e % 2)
            .expect("writing to a String cannot fail");
    }
    if i.is_multiple_of(5) {
        write!(
            text,
            "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: s{i}, namespace: ns-{ns}}}\n\
             spec: {{hosts: [s{i}.test], http: [{{route: [{{destination: {{host: s{i}.test, subset: v1}}}}]}}]}}\n\
             ---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: s{i}, namespace: ns-{ns}}}\n\
             spec: {{host: s{i}.test, subsets: [{{name: v1, labels: {{version: v1}}}}]}}\n"
        )
        .expect("writing to a String cannot fail");
    }
    text
}
