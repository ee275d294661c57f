//! Workloads.

use super::{
    error::{At, FieldError},
    field::{Field, Level, message, resource},
    v1,
};
use crate::model::workload::{HeadlessPort, Locality, Workload, WorkloadInfo};
use std::sync::Arc;

resource!(Workload => Workload {
    uid, addresses, info, labels, service_account, identity, locality, network,
    mutual_tls @ 3, mutual_tls_except @ 3, headless @ 3,
});
message!(HeadlessPort => HeadlessPort { service, port });
message!(Locality => Locality { region, zone, subzone });
message!(WorkloadInfo => WorkloadInfo {
    workload, namespace, canonical_name, canonical_revision, app, version, cluster,
});

/// Shared in the model: a workload is a member of several services.
impl<W> Field<W> for Arc<WorkloadInfo>
where
    WorkloadInfo: Field<W>,
{
    fn put(&self, level: &mut Level) -> W {
        self.as_ref().put(level)
    }

    fn take(wire: W) -> Result<Self, FieldError> {
        Field::take(wire).map(Arc::new)
    }
}
