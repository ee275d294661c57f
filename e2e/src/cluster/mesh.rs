//! The mesh in a cluster, for tests: installed once by the commands that the page for users gives, then shared by all of them.

use super::{Cluster, handle};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The page whose commands are run.
const PAGE: &str = "docs/install/local.md";
/// Images that are loaded into the nodes.
const IMAGES: [&str; 5] = ["pilot", "proxy", "proxy-init", "echo", "pause"];

/// An installed mesh.
pub struct Mesh {
    pub cluster: Cluster,
}

impl Mesh {
    /// The mesh of the cluster that is up; installed now, where no test has done it.
    ///
    /// # Errors
    /// When there is no cluster, or a command of the page fails.
    pub fn installed() -> Result<Self> {
        let cluster = Cluster::connect()?;
        // Tests are processes of their own, and run side by side.
        let lock = fs::File::create(cluster.kubeconfig().with_file_name("install.lock"))?;
        lock.lock()?;
        let releases = cluster.helm(&["list", "--namespace", "istio-system", "--short", "--deployed"])?;
        if !releases.lines().any(|release| release == "istiod") {
            let archives: Vec<PathBuf> = IMAGES.iter().map(|name| images().join(format!("{name}.tar"))).collect();
            for archive in &archives {
                ensure!(archive.exists(), "{} is not there: `make images` makes it", archive.display());
            }
            cluster.load(&archives.iter().map(PathBuf::as_path).collect::<Vec<_>>())?;
            run(&cluster, &block(1)?)?;
        }
        Ok(Mesh { cluster })
    }

    /// Runs the blocks of the page that come after installing.
    ///
    /// # Errors
    /// When a command fails, with what it said.
    pub fn follow_the_page(&self) -> Result<String> {
        // What a run before left.
        self.cluster.kubectl(&["delete", "namespace", "shop", "--ignore-not-found"])?;
        Ok(run(&self.cluster, &block(2)?)? + &run(&self.cluster, &block(3)?)?)
    }

    /// A namespace of a test, with injection; gone with this value.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn namespace(&self, name: &str) -> Result<Place<'_>> {
        self.place(name, &["istio-injection=enabled"])
    }

    /// A namespace of a test outside of the mesh.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn outside(&self, name: &str) -> Result<Place<'_>> {
        self.place(name, &[])
    }

    fn place(&self, name: &str, labels: &[&str]) -> Result<Place<'_>> {
        // What a killed run left.
        let _ = self.cluster.remove_namespace(name);
        self.cluster.create_namespace(name, labels)?;
        Ok(Place { cluster: &self.cluster, name: name.to_owned() })
    }
}

/// A namespace of one test.
pub struct Place<'a> {
    cluster: &'a Cluster,
    pub name: String,
}

impl Place<'_> {
    /// Runs kubectl in the namespace.
    ///
    /// # Errors
    /// When it says that it failed.
    pub fn kubectl(&self, words: &[&str]) -> Result<String> {
        self.cluster.kubectl(&[&["--namespace", &self.name], words].concat())
    }

    /// Applies objects that name no namespace.
    ///
    /// # Errors
    /// When one is refused.
    pub fn apply(&self, objects: &str) -> Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), objects)?;
        let path = file.path().to_str().context("a path in UTF-8")?;
        self.kubectl(&["apply", "-f", path]).map(drop)
    }

    /// A Deployment of echo with a Service of its name, port 80, and an account of its name; ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn echo(&self, name: &str) -> Result<()> {
        self.apply(&ECHO.replace("NAME", name))?;
        self.kubectl(&["rollout", "status", &format!("deployment/{name}"), "--timeout=120s"]).map(drop)
    }

    /// Calls from a workload's pod; gives what was printed.
    ///
    /// # Errors
    /// When the client says that it failed.
    pub fn call(&self, from: &str, words: &[&str]) -> Result<String> {
        let pod = format!("deploy/{from}");
        let exec = ["exec", &pod, "--container", "echo", "--", "echo", "client", "--timeout", "5", "--print"];
        self.kubectl(&[&exec, words].concat())
    }
}

impl Place<'_> {
    /// As [`Self::call`], with what was printed also where calls had no answer.
    ///
    /// # Errors
    /// When kubectl cannot be started.
    pub fn call_whatever(&self, from: &str, words: &[&str]) -> Result<String> {
        let pod = format!("deploy/{from}");
        let exec = ["--namespace", &self.name, "exec", &pod, "--container", "echo", "--", "echo", "client", "--print"];
        self.cluster.kubectl_whatever(&[&exec, words].concat())
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let _ = self.cluster.remove_namespace(&self.name);
    }
}

const ECHO: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: NAME}
---
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec:
  selector: {app: NAME}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      serviceAccountName: NAME
      terminationGracePeriodSeconds: 10
      containers:
        - name: echo
          image: ferromesh.local/echo:dev
          args: [serve, --port, '8080']
          readinessProbe: {httpGet: {path: /status/200, port: 8080}, periodSeconds: 1}
";

/// Where `make images` puts them, or `E2E_IMAGES`.
fn images() -> PathBuf {
    std::env::var_os("E2E_IMAGES").map_or_else(|| handle::built().join("../images"), PathBuf::from)
}

fn top() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("a crate of a workspace is in a folder").to_owned()
}

/// A block of commands of the page, counted from zero.
fn block(number: usize) -> Result<String> {
    let page = fs::read_to_string(top().join(PAGE)).with_context(|| format!("cannot read {PAGE}"))?;
    let mut blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split_once("```").map(|(block, _)| block));
    blocks.nth(number).map(str::to_owned).with_context(|| format!("{PAGE} has no block {number}"))
}

/// Runs commands as a user pastes them, and stops at the first that fails.
fn run(cluster: &Cluster, commands: &str) -> Result<String> {
    let programs = handle::built().join("bin");
    let path = std::env::var("PATH").unwrap_or_default();
    let done = Command::new("bash")
        .args(["-euo", "pipefail", "-c", commands])
        .current_dir(top())
        .env("KUBECONFIG", cluster.kubeconfig())
        .env("PATH", format!("{}:{path}", programs.display()))
        .stdin(Stdio::null())
        .output()
        .context("cannot run bash")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&done.stdout) + &text(&done.stderr);
    ensure!(done.status.success(), "{PAGE}: {}\n{commands}\n{said}", done.status);
    Ok(said)
}
