//! Releases of Helm as Helm records them: a Secret for each revision of a release, whose labels name it and whose data is, packed
//! twice, what was installed.

use super::owner::Release;
use crate::cluster::Cluster;
use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::read::GzDecoder;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use std::io::Read as _;

/// Charts of which a release holds nothing but the mesh.
const CHARTS: [&str; 3] = ["base", "istiod", "gateway"];
/// Longest record that is read, unpacked, in bytes.
const LONGEST: u64 = 32 << 20;

/// Whether Helm takes a release for one that is there.
pub(super) async fn is_there(cluster: &Cluster, release: &Release) -> Result<bool> {
    let records = api(cluster, release).list_metadata(&records(release)).await;
    let records = records
        .map_err(|error| cluster.told(error, &format!("list records of Helm in namespace {}", release.namespace)))?;
    let stays = |status: &str| !matches!(status, "uninstalled" | "superseded");
    Ok(records.items.iter().any(|record| record.labels().get("status").is_some_and(|status| stays(status))))
}

/// Refuses a release that holds more than the mesh.
pub(super) async fn check(cluster: &Cluster, release: &Release) -> Result<()> {
    let list = cluster
        .list(&api(cluster, release), records(release), &format!("records of the Helm release {release}"))
        .await?;
    for record in list {
        let packed = record.data.as_ref().and_then(|data| data.get("release"));
        let chart = packed.context("it holds no release").and_then(|packed| chart(&packed.0));
        let chart = chart
            .with_context(|| format!("Secret {} of the Helm release {release} cannot be read", record.name_any()))?;
        if !CHARTS.contains(&chart.as_str()) {
            bail!(
                "the Helm release {release} is of chart {chart:?}, which holds more than the mesh: it cannot be adopted as a whole"
            );
        }
    }
    Ok(())
}

/// Has Helm forget it; what it installed stays.
pub(super) async fn forget(cluster: &Cluster, release: &Release) -> Result<()> {
    let gone = api(cluster, release).delete_collection(&DeleteParams::default(), &records(release)).await;
    gone.map_err(|error| cluster.told(error, &format!("delete the records of the Helm release {release}")))?;
    Ok(())
}

fn api(cluster: &Cluster, release: &Release) -> Api<Secret> {
    Api::namespaced(cluster.client.clone(), &release.namespace)
}

fn records(release: &Release) -> ListParams {
    ListParams::default().labels(&format!("owner=helm,name={}", release.name))
}

/// Name of the chart in a record.
fn chart(packed: &[u8]) -> Result<String> {
    let zipped = STANDARD.decode(packed).context("it is not base64")?;
    let mut text = Vec::new();
    GzDecoder::new(zipped.as_slice()).take(LONGEST).read_to_end(&mut text).context("it is not packed by gzip")?;
    let record: serde_json::Value = serde_json::from_slice(&text).context("it is not JSON")?;
    record["chart"]["metadata"]["name"].as_str().map(str::to_owned).context("it names no chart")
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write as _;

    #[test]
    fn the_chart_of_a_record_is_read_and_what_is_no_record_is_told() {
        let pack = |text: &str| {
            let mut zip = GzEncoder::new(Vec::new(), Compression::default());
            zip.write_all(text.as_bytes()).unwrap();
            STANDARD.encode(zip.finish().unwrap())
        };
        assert_eq!(chart(pack(r#"{"chart": {"metadata": {"name": "istiod"}}}"#).as_bytes()).unwrap(), "istiod");
        assert_eq!(chart(pack("{}").as_bytes()).unwrap_err().to_string(), "it names no chart");
        assert_eq!(chart(pack("x").as_bytes()).unwrap_err().to_string(), "it is not JSON");
        assert_eq!(chart(b"eHh4").unwrap_err().to_string(), "it is not packed by gzip");
        assert_eq!(chart(b"!").unwrap_err().to_string(), "it is not base64");
    }
}
