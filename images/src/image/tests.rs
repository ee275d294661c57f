use super::*;

fn image(platform: Platform) -> Image {
    Image {
        platform,
        entrypoint: vec!["/usr/local/bin/proxy".into(), "run".into()],
        user: 1337,
        files: vec![
            File::new("usr/local/bin/proxy", 0o755, b"program".repeat(300)),
            File::link("bin", "usr/local/bin"),
            File::folder("tmp", 0o1777),
        ],
    }
}

/// Every file of an archive: mode, kind, target, bytes.
fn list(archive: &[u8]) -> BTreeMap<String, (String, char, String, Vec<u8>)> {
    let word = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned();
    let (mut at, mut files) = (0, BTreeMap::new());
    while archive[at] != 0 {
        let header = &archive[at..at + 512];
        let size = usize::from_str_radix(&word(&header[124..136]), 8).unwrap();
        let bytes = archive[at + 512..at + 512 + size].to_vec();
        files.insert(
            word(&header[..100]),
            (word(&header[100..108]), char::from(header[156]), word(&header[157..257]), bytes),
        );
        at += 512 + size.next_multiple_of(512);
    }
    files
}

fn blob(files: &BTreeMap<String, (String, char, String, Vec<u8>)>, descriptor: &Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().unwrap();
    let bytes = files[&format!("blobs/{}", digest.replace(':', "/"))].3.clone();
    assert_eq!((Digest::of(&bytes).0.as_str(), Some(bytes.len() as u64)), (digest, descriptor["size"].as_u64()));
    bytes
}

#[test]
fn an_archive_holds_what_went_in_by_digests_that_fit() {
    let names = ["ferromesh.local/proxy:dev".to_owned(), "other.local/proxy:1".to_owned()];
    let archive = Bundle::pack(&[image(Platform::Amd64)]).unwrap().archive(&names).unwrap();
    let files = list(&archive);
    let index: Value = serde_json::from_slice(&files["index.json"].3).unwrap();
    let named =
        index["manifests"].as_array().unwrap().iter().map(|m| m["annotations"]["io.containerd.image.name"].clone());
    assert_eq!(named.collect::<Vec<_>>(), names);
    let manifest: Value = serde_json::from_slice(&blob(&files, &index["manifests"][0])).unwrap();
    let config: Value = serde_json::from_slice(&blob(&files, &manifest["config"])).unwrap();
    assert_eq!(
        (&config["architecture"], &config["config"]["User"], &config["config"]["Entrypoint"]),
        (&json!("amd64"), &json!("1337:1337"), &json!(["/usr/local/bin/proxy", "run"]))
    );
    let mut plain = Vec::new();
    let layer = blob(&files, &manifest["layers"][0]);
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(layer.as_slice()), &mut plain).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"], json!([Digest::of(&plain).0]));
    let shape: Vec<_> = list(&plain).into_iter().map(|(path, f)| (path, f.0, f.1, f.2, f.3.len())).collect();
    let folder = |path: &str, mode: &str| (path.to_owned(), mode.to_owned(), '5', String::new(), 0);
    assert_eq!(
        shape,
        vec![
            ("bin".into(), "0000777".into(), '2', "usr/local/bin".into(), 0),
            folder("tmp/", "0001777"),
            folder("usr/", "0000755"),
            folder("usr/local/", "0000755"),
            folder("usr/local/bin/", "0000755"),
            ("usr/local/bin/proxy".into(), "0000755".into(), '0', String::new(), 2100),
        ]
    );
    let older: Value = serde_json::from_slice(&files["manifest.json"].3).unwrap();
    assert_eq!(older[0]["RepoTags"], json!(names));
    assert!(files.contains_key(older[0]["Config"].as_str().unwrap()));
    assert!(files.contains_key(older[0]["Layers"][0].as_str().unwrap()));
}

#[test]
fn the_same_files_in_another_order_are_the_same_bytes() {
    let name = ["a.local/x:1".to_owned()];
    let (one, mut two) = (image(Platform::Arm64), image(Platform::Arm64));
    two.files.reverse();
    let bytes = |image| Bundle::pack(&[image]).unwrap().archive(&name).unwrap();
    assert_eq!(bytes(one), bytes(two));
}

#[test]
fn an_image_of_two_platforms_is_an_index_and_no_older_manifest() {
    let bundle = Bundle::pack(&[image(Platform::Arm64), image(Platform::Amd64)]).unwrap();
    let files = list(&bundle.archive(&["a.local/x:1".into()]).unwrap());
    assert!(!files.contains_key("manifest.json"));
    let index: Value = serde_json::from_slice(&files["index.json"].3).unwrap();
    let inner: Value = serde_json::from_slice(&blob(&files, &index["manifests"][0])).unwrap();
    assert_eq!(inner["mediaType"], INDEX);
    let of = inner["manifests"].as_array().unwrap().iter().map(|manifest| {
        let manifest_bytes: Value = serde_json::from_slice(&blob(&files, manifest)).unwrap();
        let config: Value = serde_json::from_slice(&blob(&files, &manifest_bytes["config"])).unwrap();
        (manifest["platform"]["architecture"].clone(), config["architecture"].clone())
    });
    assert_eq!(of.collect::<Vec<_>>(), [(json!("amd64"), json!("amd64")), (json!("arm64"), json!("arm64"))]);
}

#[test]
fn what_no_engine_could_load_is_refused() {
    let refused = |change: fn(&mut Image)| {
        let mut image = image(Platform::Amd64);
        change(&mut image);
        format!("{:#}", Bundle::pack(&[image]).unwrap_err())
    };
    assert_eq!(refused(|i| i.files[0].path = "../up".into()), "\"../up\" is no path inside an archive");
    assert_eq!(refused(|i| i.files[0].path = "/etc".into()), "\"/etc\" is no path inside an archive");
    assert!(refused(|i| i.files[0].path = "x".repeat(100)).ends_with("is longer than 99 bytes"));
    let twice = Bundle::pack(&[image(Platform::Amd64), image(Platform::Amd64)]).unwrap_err();
    assert_eq!(twice.to_string(), "two images of one platform");
    let nameless = Bundle::pack(&[image(Platform::Amd64)]).unwrap().archive(&["a.local/x".into()]).unwrap_err();
    assert_eq!(nameless.to_string(), "a.local/x has no tag");
}
