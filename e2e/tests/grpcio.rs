//! gRPC's Python library as client and server, through two sidecars.

use mesh_e2e::{
    client::connect,
    mesh::{GRPC, Mesh, Plan, Workload},
    program::{Program, run},
    until,
    workload::Kind,
};

#[tokio::test]
async fn unary_and_streams_keep_messages_metadata_and_status() {
    let server = Workload::new("server").serves(GRPC, Kind::External);
    let mesh = Mesh::start(Plan::new([Workload::new("client"), server])).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python/echo.py");
    let listen = mesh.app("server", GRPC).address;
    let args = [script, "serve", &listen.to_string()];
    let _server = Program::start("python3", &args, &mesh.dir().join("grpcio.log"));
    until("the server listens", || connect(listen, None)).await;
    let at = mesh.egress("client", GRPC).to_string();
    let said = run("python3", &[script, "call", &at, &mesh.host("server", GRPC)]).await;
    let expected = "\
unary: echo=hello trailer=one-message
unary large: 2000000 bytes
server stream: 0,1,2,3,4 trailer=five-messages
client stream: 3 messages
both: A,B,C
error: NOT_FOUND no such thing trailer=why
deadline: over
";
    assert_eq!(said, expected);
}
