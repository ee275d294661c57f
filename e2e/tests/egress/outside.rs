//! A server outside of the mesh that speaks HTTP in TLS, wants a certificate of its clients, and answers what it saw.

use mesh_e2e::mesh::secret;
use mesh_runtime::{
    snapshot::Reader,
    testing::TestCa,
    tls::server::{Accepted, ClientAuth, ServerProfile, ServerTls, Serving},
};
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// Its authority, that of its clients, and where it is.
pub(crate) struct Outside {
    pub(crate) ca: TestCa,
    pub(crate) clients: TestCa,
    pub(crate) at: SocketAddr,
}

impl Outside {
    /// With a certificate for `name`.
    pub(crate) async fn start(name: &str, auth: ClientAuth) -> Self {
        let (ca, clients) = (TestCa::new("outside.test"), TestCa::new("clients.test"));
        let serving = Serving {
            certificates: vec![ca.server_certificate(&[name])],
            client_ca: Some(clients.bundle()),
            subject_alt_names: Vec::new(),
        };
        let tls = Arc::new(ServerTls::with_certificates(Reader::fixed(Arc::new(serving))));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let tls = tls.clone();
                tokio::spawn(async move {
                    let accepted = tls.accept(stream, &ServerProfile::new(Vec::new(), auth)).await;
                    // A client that is refused hears it by the alert.
                    if let Ok((stream, accepted)) = accepted {
                        let _ = answer(stream, &accepted).await;
                    }
                });
            }
        });
        Outside { ca, clients, at }
    }

    /// A Secret of this name with a certificate for `client`, for these accounts.
    pub(crate) fn secret(&self, name: &str, client: &str, accounts: &str) -> String {
        let certificate = self.clients.server_certificate(&[client]);
        let (chain, key) = (certificate.chain_pem(), certificate.key_pem());
        secret(name, accounts, &[("tls.crt", &chain), ("tls.key", &key), ("ca.crt", &self.ca.root_pem())])
    }
}

/// Answers each request with the server name, the client's name and the Host header.
async fn answer(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, accepted: &Accepted) -> std::io::Result<()> {
    let client = accepted.peer.as_ref().map_or_else(|| "nobody".to_owned(), |peer| peer.dns.join(","));
    let sni = accepted.sni.as_deref().unwrap_or("-");
    let mut said = Vec::new();
    loop {
        while !said.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut said).await? == 0 {
                return Ok(());
            }
        }
        let head = String::from_utf8_lossy(&said).to_ascii_lowercase();
        let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or("-");
        let body = format!("{sni} {client} {host}");
        said.clear();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await?;
    }
}
