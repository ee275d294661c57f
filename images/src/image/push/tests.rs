use super::*;
use crate::image::{File, Image, Platform};
use hyper::{body::Incoming, service::service_fn};
use std::{collections::BTreeMap, convert::Infallible, sync::Mutex};
use tokio::net::TcpListener;

/// A registry that takes what fits together and nothing else, for those who show its token.
#[derive(Default)]
struct Shelf {
    blobs: BTreeMap<String, usize>,
    manifests: BTreeMap<String, (String, Vec<u8>)>,
    asked: Vec<String>,
}

type Shared = Arc<Mutex<Shelf>>;

async fn registry(shelf: Shared) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let own = host.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (shelf, own) = (shelf.clone(), own.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (shelf, own) = (shelf.clone(), own.clone());
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    Ok::<_, Infallible>(answer(&mut shelf.lock().unwrap(), &own, &head, &body))
                }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    host
}

fn answer(shelf: &mut Shelf, own: &str, head: &http::request::Parts, body: &[u8]) -> Response<Full<Bytes>> {
    let said = |status: u16, name: &'static str, value: &str| {
        Response::builder().status(status).header(name, value).body(Full::new(Bytes::new())).unwrap()
    };
    let path = head.uri.path();
    let shown = head.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    if path == "/token" {
        let right = shown.as_deref() == Some("Basic bWU6c2VjcmV0")
            && head.uri.query() == Some("scope=repository%3Ateam%2Fx%3Apull%2Cpush&service=shelf");
        let text = if right { r#"{"token":"entry"}"# } else { "{}" };
        return Response::new(Full::new(Bytes::from(text)));
    }
    if shown.as_deref() != Some("Bearer entry") {
        let challenge =
            format!("Bearer realm=\"http://{own}/token\",service=\"shelf\",scope=\"repository:team/x:pull\"");
        return said(401, "www-authenticate", &challenge);
    }
    let rest = path.strip_prefix("/v2/team/x/").unwrap();
    shelf.asked.push(format!("{} {}", head.method, rest.split(':').next().unwrap()));
    match (head.method.as_str(), rest.split_once('/').unwrap()) {
        ("HEAD", ("blobs", digest)) => said(if shelf.blobs.contains_key(digest) { 200 } else { 404 }, "x-none", ""),
        ("POST", ("blobs", "uploads/")) => said(202, "location", "/v2/team/x/blobs/uploads/1?state=new"),
        ("PUT", ("blobs", "uploads/1")) => {
            let digest = Digest::of(body).to_string();
            let fits = head.uri.query() == Some(format!("state=new&digest={}", digest.replace(':', "%3A")).as_str());
            shelf.blobs.insert(digest, body.len());
            said(if fits { 201 } else { 400 }, "x-none", "")
        }
        ("PUT", ("manifests", reference)) => {
            let manifest: serde_json::Value = serde_json::from_slice(body).unwrap();
            let of = |key: &str| manifest[key].as_array().cloned().unwrap_or_default();
            let wanted = [of("layers"), of("manifests"), vec![manifest["config"].clone()]].concat();
            let there = wanted
                .iter()
                .filter_map(|part| part["digest"].as_str())
                .all(|digest| shelf.blobs.contains_key(digest) || shelf.manifests.contains_key(digest));
            let kind = head.headers["content-type"].to_str().unwrap().to_owned();
            shelf.manifests.insert(reference.to_owned(), (kind, body.to_vec()));
            said(if there { 201 } else { 404 }, "x-none", "")
        }
        other => panic!("asked for {other:?}"),
    }
}

fn bundle() -> Bundle {
    let image = |platform| Image {
        platform,
        entrypoint: vec!["/x".into()],
        user: 1,
        files: vec![File::new("x", 0o755, format!("{platform:?}").into_bytes())],
    };
    Bundle::pack(&[image(Platform::Amd64), image(Platform::Arm64)]).unwrap()
}

fn place(host: &str, password: &str) -> Registry {
    let login = Login { user: "me".into(), password: password.into() };
    Registry::of(&format!("{host}/team/x:v1"), Some(login), true, PathBuf::new()).unwrap()
}

#[tokio::test]
async fn an_image_of_two_platforms_arrives_whole_and_once() {
    let (shelf, bundle) = (Shared::default(), bundle());
    let host = registry(shelf.clone()).await;
    place(&host, "secret").push(&bundle).await.unwrap();
    {
        let shelf = shelf.lock().unwrap();
        let sent: BTreeMap<_, _> =
            bundle.blobs.iter().map(|(digest, bytes)| (digest.to_string(), bytes.len())).collect();
        assert_eq!(shelf.blobs, sent);
        assert_eq!(shelf.manifests["v1"], (crate::image::INDEX.to_owned(), bundle.top.bytes.clone()));
        assert_eq!(shelf.manifests.len(), 3);
    }
    shelf.lock().unwrap().asked.clear();
    place(&host, "secret").push(&bundle).await.unwrap();
    let asked = std::mem::take(&mut shelf.lock().unwrap().asked);
    assert_eq!(
        asked,
        ["HEAD blobs/sha256"; 4]
            .into_iter()
            .chain(["PUT manifests/sha256"; 2])
            .chain(["PUT manifests/v1"])
            .collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn who_cannot_log_in_sends_nothing() {
    let shelf = Shared::default();
    let host = registry(shelf.clone()).await;
    let refused = format!("{:#}", place(&host, "guess").push(&bundle()).await.unwrap_err());
    assert!(refused.ends_with("no token in JSON"), "{refused}");
    assert!(!refused.contains("guess"));
    assert_eq!(shelf.lock().unwrap().asked, Vec::<String>::new());
}

#[tokio::test]
async fn a_password_goes_to_no_realm_without_tls() {
    let secure = Registry::of("registry.example/x:1", None, false, PathBuf::new()).unwrap();
    let refused = secure.authorize("Bearer realm=\"http://elsewhere/token\"").await.unwrap_err().to_string();
    assert_eq!(refused, "http://elsewhere/token would get the password without TLS");
}

#[test]
fn names_of_images_say_where_they_go() {
    let base =
        |name| Registry::of(name, None, false, PathBuf::new()).map(|at| format!("{} {}", at.base, at.repository));
    assert_eq!(base("docker.io/me/x:1").unwrap(), "https://registry-1.docker.io me/x");
    assert_eq!(base("ghcr.io:444/a/b/x:1").unwrap(), "https://ghcr.io:444 a/b/x");
    assert_eq!(base("x:1").unwrap_err().to_string(), "x:1 names no registry");
    assert_eq!(base("host/x").unwrap_err().to_string(), "host/x has no tag");
}
