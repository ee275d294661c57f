//! What pilot says of the root: what the authority counts on, what the mesh tells of it, and which clients do not know that.

use crate::{
    discovery::clients::Clients,
    mesh::Mesh,
    rotation::report::{NAMED, Report, Under},
};
use mesh_ca::{Authority, counted::fingerprint};
use mesh_config::model::{Kind, Part};
use std::time::SystemTime;

/// The report, as of `now`.
pub(crate) fn report(
    authority: &Authority,
    place: String,
    (mesh, clients): (&Mesh, &Clients),
    rotation: Option<Under>,
    now: SystemTime,
) -> Report {
    let report = Report { clients: clients.count(), rotation, ..Report::of(authority, place, now) };
    let name = authority.trust_domain().as_str();
    let Some(shared) = mesh.part(Kind::Trust, name) else { return report };
    let Part::Trust(bundle) = shared.part() else { return report };
    let told = bundle.roots.iter().map(|der| fingerprint(der)).collect();
    let (behind, behind_names) = clients.without_roots((name, shared.encoded().version), now, NAMED);
    Report { told, behind, behind_names, ..report }
}
