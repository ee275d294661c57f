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
    directory.scan(tree(files)).changes.into_iter().flat_map(words).collect()
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
    directory.scan(tree(&[("f.yaml", A)]));
    assert!(directory.scan(tree(&[("f.yaml", "")])).again);
    assert_eq!(scan(&mut directory, &[("f.yaml", "")]), ["-a"]);
}

#[test]
fn a_file_that_was_empty_for_a_moment_loses_nothing() {
    let mut directory = Directory::default();
    directory.scan(tree(&[("f.yaml", A)]));
    assert!(directory.scan(tree(&[("f.yaml", "")])).again);
    let back = directory.scan(tree(&[("f.yaml", A)]));
    assert_eq!((back.again, back.changes), (false, vec![Change::Notes(Vec::new())]));
}

#[test]
fn of_an_object_that_stands_twice_the_first_path_counts() {
    let mut directory = Directory::default();
    let got = scan(&mut directory, &[("a.yaml", A), ("b.yaml", A_LABELLED)]);
    assert_eq!(got, ["+a", "!duplicate-object", "synced"]);
    assert!(directory.emitted.values().all(|object| object.meta.labels.is_empty()));
    // With the first gone the other counts.
    scan(&mut directory, &[("b.yaml", A_LABELLED)]);
    assert!(directory.emitted.values().all(|object| !object.meta.labels.is_empty()));
}

#[test]
fn an_unreadable_file_keeps_its_objects() {
    let mut directory = Directory::default();
    directory.scan(tree(&[("f.yaml", A)]));
    let unreadable = [(Arc::from("f.yaml"), FileText::Unreadable("no permission".into()))];
    let changes = directory.scan(unreadable.into_iter().collect()).changes;
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
