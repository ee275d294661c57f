//! One module a verb, named as istioctl names it; each turns arguments into a report and prints nothing.

pub(crate) mod bug_report;
pub(crate) mod ca;
pub(crate) mod completion;
pub(crate) mod convert;
pub(crate) mod explain;
pub(crate) mod install;
pub(crate) mod internal_debug;
pub(crate) mod kube_inject;
pub(crate) mod log_level;
pub(crate) mod manifest;
pub(crate) mod precheck;
pub(crate) mod proxy_config;
pub(crate) mod proxy_status;
pub(crate) mod status;
pub(crate) mod tag;
pub(crate) mod uninstall;
pub(crate) mod validate;
pub(crate) mod version;
