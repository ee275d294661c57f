use super::*;

const A: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n";
const A_LABELLED: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {x: y}}\n";
const B: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n";
const BROKEN: &str = "apiVersion: v1\nkind: [\n";

fn tree(files: &[(&str, &str)]) -> Tree {
    files.iter().map(|(path, text)| (Arc::from(*path), FileText::Text((*text).to_owned()))).collect()
}

/// `+name`, `-name`, `!code` and `synced`, in the order of the changes.
fn scan(directory: &mut Directory, files: &[(&str, &str)]) -> Vec<String> {
    let words = |change: Change| match change {
        Change::Upsert(_, object) => vec![format!("+{}", object.meta.name)],
        Change::Delete(id) => vec![format!("-{}", id.name.name)],
        Change::Notes(notes) => notes.iter().map(|n| format!("!{}", n.code)).collect(),
        Change::Synced => vec!["synced".to_owned()],
    };
    directory.scan(&tree(files)).changes.into_iter().flat_map(words).collect()
}

#[test]
fn the_first_scan_hands_over_everything_and_says_so() {
    let mut directory = Directory::default();
    let both = [A, "---\n", B].concat();
    assert_eq!(scan(&mut directory, &[("f.yaml", &both)]), ["+a", "+b", "synced"]);
    assert!(scan(&mut directory, &[("f.yaml", &both)]).is_empty());
}

#[test]
fn edits_and_deletions_are_changes() {
    let mut directory = Directory::default();
    scan(&mut directory, &[("a.yaml", A), ("b.yaml", B)]);
    assert_eq!(scan(&mut directory, &[("a.yaml", A_LABELLED), ("b.yaml", B)]), ["+a"]);
    assert_eq!(scan(&mut directory, &[("a.yaml", A_LABELLED)]), ["-b"]);
}

#[test]
fn a_renamed_file_keeps_its_objects() {
    let mut directory = Directory::default();
    scan(&mut directory, &[("a.yaml", A)]);
    // The object's place in the order is new, so it is handed over again; it never goes away.
    assert_eq!(scan(&mut directory, &[("z.yaml", A)]), ["+a"]);
}

#[test]
fn a_file_that_does_not_parse_keeps_its_objects_and_says_so() {
    let mut directory = Directory::default();
    scan(&mut directory, &[("f.yaml", A)]);
    let broken = [B, "---\n", BROKEN].concat();
    assert_eq!(scan(&mut directory, &[("f.yaml", &broken)]), ["!broken-document", "!file-kept"]);
    assert_eq!(scan(&mut directory, &[("f.yaml", B)]), ["-a", "+b"]);
}

#[test]
fn a_file_that_never_parsed_gives_what_can_be_read_of_it() {
    let mut directory = Directory::default();
    let broken = [A, "---\n", BROKEN].concat();
    assert_eq!(scan(&mut directory, &[("f.yaml", &broken)]), ["+a", "!broken-document", "synced"]);
}

#[test]
fn an_emptied_file_is_believed_at_the_second_look() {
    let mut directory = Directory::default();
    directory.scan(&tree(&[("f.yaml", A)]));
    assert!(directory.scan(&tree(&[("f.yaml", "")])).again);
    assert_eq!(scan(&mut directory, &[("f.yaml", "")]), ["-a"]);
}

#[test]
fn a_file_that_was_empty_for_a_moment_loses_nothing() {
    let mut directory = Directory::default();
    directory.scan(&tree(&[("f.yaml", A)]));
    assert!(directory.scan(&tree(&[("f.yaml", "")])).again);
    let back = directory.scan(&tree(&[("f.yaml", A)]));
    assert_eq!((back.again, back.changes), (false, vec![Change::Notes(Vec::new())]));
}

/// Labels of the objects that are handed over, by name.
fn labels(directory: &mut Directory, files: &[(&str, &str)]) -> Vec<(String, bool)> {
    let changes = directory.scan(&tree(files)).changes.into_iter();
    let labelled = |change| match change {
        Change::Upsert(_, object) => Some((object.meta.name.to_string(), !object.meta.labels.is_empty())),
        _ => None,
    };
    changes.filter_map(labelled).collect()
}

#[test]
fn of_an_object_that_stands_twice_the_first_path_counts() {
    let mut directory = Directory::default();
    let got = scan(&mut directory, &[("a.yaml", A), ("b.yaml", A_LABELLED)]);
    assert_eq!(got, ["+a", "!duplicate-object", "synced"]);
    // With the first gone the other counts, and when it is back it counts again.
    assert_eq!(labels(&mut directory, &[("b.yaml", A_LABELLED)]), [("a".to_owned(), true)]);
    assert_eq!(labels(&mut directory, &[("a.yaml", A), ("b.yaml", A_LABELLED)]), [("a".to_owned(), false)]);
    assert_eq!(labels(&mut directory, &[("b.yaml", A_LABELLED)]), [("a".to_owned(), true)]);
}

#[test]
fn a_file_whose_object_another_took_over_is_read_until_it_counts_again() {
    let read = |directory: &mut Directory, read: &[(&str, &str)], same: &[&str]| {
        let same = same.iter().map(|path| Arc::from(*path)).collect();
        let changes = directory.look(&tree(read), &same).changes.len();
        (changes, directory.must_read().iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let mut directory = Directory::default();
    let (none, second) = (Vec::<String>::new(), vec!["b.yaml".to_owned()]);
    // The object, and that it is all.
    assert_eq!(read(&mut directory, &[("b.yaml", A_LABELLED)], &[]), (2, none.clone()));
    // The object of the first file, and a finding about the other.
    assert_eq!(read(&mut directory, &[("a.yaml", A)], &["b.yaml"]), (2, second.clone()));
    assert_eq!(read(&mut directory, &[("b.yaml", A_LABELLED)], &["a.yaml"]), (0, second));
    assert_eq!(read(&mut directory, &[("b.yaml", A_LABELLED)], &[]), (2, none));
}

proptest::proptest! {
    /// Files with any of three objects in any of three versions, edited, removed and written again.
    #[test]
    fn changes_lead_to_what_a_directory_that_is_read_anew_holds(
        steps in proptest::collection::vec(proptest::collection::vec((0..3usize, proptest::collection::vec((0..3usize, 0..3usize), 1..4)), 0..4), 1..6)
    ) {
        let (mut directory, mut held) = (Directory::default(), BTreeMap::new());
        // One that is told only of files that differ.
        let (mut frugal, mut held_by_frugal, mut before) = (Directory::default(), BTreeMap::new(), Tree::new());
        for step in steps {
            let text = |objects: Vec<(usize, usize)>| {
                let object = |(name, version)| format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: n{name}, labels: {{v: v{version}}}}}\n");
                objects.into_iter().map(object).collect::<Vec<_>>().join("---\n")
            };
            let files: Tree = step.into_iter().map(|(file, objects)| (format!("{file}.yaml").into(), FileText::Text(text(objects)))).collect();
            apply(&mut held, directory.scan(&files));
            let is_same = |path: &Arc<str>, text: &FileText| before.get(path) == Some(text) && !frugal.must_read().contains(path);
            let (same, read): (Tree, Tree) = files.clone().into_iter().partition(|(path, text)| is_same(path, text));
            apply(&mut held_by_frugal, frugal.look(&read, &same.into_keys().collect()));
            let mut anew = BTreeMap::new();
            apply(&mut anew, Directory::default().scan(&files));
            proptest::prop_assert!(held == anew);
            proptest::prop_assert!(held_by_frugal == anew);
            before = files;
        }
    }
}

fn apply(held: &mut BTreeMap<ObjectId, Arc<PackedObject>>, scan: Scan) {
    for change in scan.changes {
        match change {
            Change::Upsert(id, object) => drop(held.insert(id, object)),
            Change::Delete(id) => drop(held.remove(&id)),
            Change::Notes(_) | Change::Synced => {}
        }
    }
}

#[test]
fn an_unreadable_file_keeps_its_objects() {
    let mut directory = Directory::default();
    directory.scan(&tree(&[("f.yaml", A)]));
    let unreadable = [(Arc::from("f.yaml"), FileText::Unreadable("no permission".into()))];
    let changes = directory.scan(&unreadable.into_iter().collect()).changes;
    assert!(matches!(&changes[..], [Change::Notes(notes)] if notes[0].code == "file-unreadable"), "{changes:?}");
}

#[test]
fn the_disk_is_read_with_its_directories_and_without_hidden_files() {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("b.yaml", B);
    write("sub/a.yml", A);
    write("sub/.a.yml.swp", BROKEN);
    write(".hidden/c.yaml", BROKEN);
    write("notes.txt", BROKEN);
    let tree = read_tree(root.path()).unwrap();
    let names: Vec<_> = tree.keys().map(|path| path.strip_prefix(root.path().to_str().unwrap()).unwrap()).collect();
    assert_eq!(names, ["/b.yaml", "/sub/a.yml"]);
    assert!(read_tree(&root.path().join("missing")).is_err());
}

/// What is read under a directory, without its own path.
fn names(root: &std::path::Path) -> Vec<String> {
    let tree = read_tree(root).unwrap();
    let text = |text: &FileText| matches!(text, FileText::Text(_));
    assert!(tree.values().all(text));
    tree.keys().map(|path| path.strip_prefix(root.to_str().unwrap()).unwrap().to_owned()).collect()
}

#[test]
fn links_that_lead_in_circles_or_nowhere_hide_nothing() {
    let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = |path: &str| root.path().join(path);
    let link = |to: &std::path::Path, path: &str| std::os::unix::fs::symlink(to, at(path)).unwrap();
    std::fs::create_dir_all(at("sub/deep")).unwrap();
    std::fs::write(at("a.yaml"), A).unwrap();
    std::fs::write(at("sub/b.yaml"), B).unwrap();
    std::fs::write(elsewhere.path().join("c.yaml"), A_LABELLED).unwrap();
    link(root.path(), "sub/deep/up");
    link(&at("sub"), "sub/deep/round");
    link(&at("itself.yaml"), "itself.yaml");
    link(&at("nothing"), "nowhere.yaml");
    link(elsewhere.path(), "other");
    link(elsewhere.path(), "other-again");
    assert_eq!(names(root.path()), ["/a.yaml", "/other/c.yaml", "/sub/b.yaml"]);
}

#[test]
fn a_mounted_volume_is_read_through_its_links_and_changes_with_them() {
    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().join(path);
    let version = |name: &str, text: &str| {
        std::fs::create_dir(at(name)).unwrap();
        std::fs::write(at(name).join("mesh.yaml"), text).unwrap();
        // As kubelet does it: a new link takes the place of the old one.
        std::os::unix::fs::symlink(name, at("..data_tmp")).unwrap();
        std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
    };
    version("..2024_1", A);
    std::os::unix::fs::symlink("..data/mesh.yaml", at("mesh.yaml")).unwrap();
    assert_eq!(names(root.path()), ["/mesh.yaml"]);
    let mut directory = Directory::default();
    directory.scan(&read_tree(root.path()).unwrap());
    let before = fingerprint(root.path()).unwrap();
    version("..2024_2", A_LABELLED);
    std::fs::remove_dir_all(at("..2024_1")).unwrap();
    assert_ne!(fingerprint(root.path()).unwrap(), before);
    let changes = directory.scan(&read_tree(root.path()).unwrap()).changes;
    assert!(matches!(&changes[..], [Change::Upsert(_, object)] if !object.meta.labels.is_empty()), "{changes:?}");
}
