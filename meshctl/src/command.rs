//! One module a verb, named as istioctl names it; each turns arguments into a report and prints nothing.

pub(crate) mod explain;



