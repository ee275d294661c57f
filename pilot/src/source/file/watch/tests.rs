use super::*;
use crate::source::Change;
use std::{collections::BTreeSet, fs};

const DEADLINE: Duration = Duration::from_secs(30);

/// A followed directory and the names of the objects that it holds, as far as received.
struct Followed {
    root: tempfile::TempDir,
    batches: mpsc::Receiver<Batch>,
    names: BTreeSet<String>,
    _follower: tokio::task::JoinHandle<()>,
}

impl Followed {
    fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        let (sender, batches) = mpsc::channel(4);
        let path = root.path().to_owned();
        let _follower = tokio::spawn(async move { follow(path, sender).await.unwrap() });
        Followed { root, batches, names: BTreeSet::new(), _follower }
    }

    fn write(&self, file: &str, names: &[&str]) {
        let document = |name: &&str| format!("---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n");
        fs::write(self.root.path().join(file), names.iter().map(document).collect::<String>()).unwrap();
    }

    /// Receives until exactly these objects are there.
    async fn holds(&mut self, want: &[&str]) {
        let want: BTreeSet<String> = want.iter().map(|n| (*n).to_owned()).collect();
        let reached = time::timeout(DEADLINE, async {
            while self.names != want {
                for change in self.batches.recv().await.unwrap().changes {
                    match change {
                        Change::Upsert(id, _) => self.names.insert(id.name.name.to_string()),
                        Change::Delete(id) => self.names.remove(&*id.name.name),
                        Change::Notes(_) | Change::Synced => false,
                    };
                }
            }
        });
        assert!(reached.await.is_ok(), "wanted {want:?}, has {:?}", self.names);
    }
}

#[tokio::test]
async fn edits_renames_and_deletions_are_followed() {
    let mut followed = Followed::start();
    let first = time::timeout(DEADLINE, followed.batches.recv()).await.unwrap();
    assert_eq!(first, Some(Batch { source: SourceId::Files, changes: vec![Change::Synced] }));

    followed.write("a.yaml", &["one"]);
    followed.holds(&["one"]).await;

    // As editors save: a new file takes the old one's name.
    followed.write(".a.yaml.new", &["one", "two"]);
    fs::rename(followed.root.path().join(".a.yaml.new"), followed.root.path().join("a.yaml")).unwrap();
    followed.holds(&["one", "two"]).await;

    fs::create_dir(followed.root.path().join("sub")).unwrap();
    followed.write("sub/b.yaml", &["three"]);
    followed.holds(&["one", "two", "three"]).await;

    fs::remove_file(followed.root.path().join("a.yaml")).unwrap();
    followed.holds(&["three"]).await;
}

#[tokio::test]
async fn a_file_that_stays_empty_is_believed() {
    let mut followed = Followed::start();
    followed.write("a.yaml", &["one"]);
    followed.holds(&["one"]).await;
    followed.write("a.yaml", &[]);
    followed.holds(&[]).await;
}

#[tokio::test]
async fn it_ends_when_nobody_receives() {
    let root = tempfile::tempdir().unwrap();
    let (sender, batches) = mpsc::channel(4);
    drop(batches);
    let ended = time::timeout(DEADLINE, follow(root.path().to_owned(), sender)).await;
    assert!(ended.unwrap().is_ok());
}

#[test]
fn what_has_long_looked_the_same_is_not_read_again() {
    let root = tempfile::tempdir().unwrap();
    for file in ["a.yaml", "b.yaml", "c.yaml"] {
        fs::write(root.path().join(file), "1").unwrap();
    }
    let before = fingerprint(root.path()).unwrap();
    // Another file under an old name, of the same length.
    fs::write(root.path().join("new"), "2").unwrap();
    fs::rename(root.path().join("new"), root.path().join("b.yaml")).unwrap();
    fs::remove_file(root.path().join("c.yaml")).unwrap();
    fs::write(root.path().join("d.yaml"), "1").unwrap();
    let now = fingerprint(root.path()).unwrap();
    let same = |read_at| now.same_as(&before, read_at);
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    assert_eq!(same(written).iter().map(|path| &path[path.len() - 6..]).collect::<Vec<_>>(), ["a.yaml"]);
    // Read in the moment in which it was written, it may have been written once more.
    assert_eq!(same(fs::metadata(root.path().join("a.yaml")).unwrap().modified().unwrap()), BTreeSet::new());
    assert_eq!(read(&now, &same(written)).len(), 2);
}
