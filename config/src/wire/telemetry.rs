//! What is written to access logs.

use super::{
    error::{At, FieldError},
    field::{Field, choice, message, resource, word, wrapped},
    v1,
};
use crate::model::telemetry::{
    LogAlternative, LogAttribute, LogComparison, LogCondition, LogFilter, LogFormat, LogOutlet, LogRule, LogSide,
    Telemetry,
};
use std::{collections::BTreeMap, sync::Arc};

resource!(Telemetry => Telemetry { name, precedence, selector, defaults, rules });
message!(LogRule => LogRule { side, outlets, disabled, filter });
word!(LogSide => LogSide { Both, Client, Server });
message!(LogOutlet => LogOutlet { name, file, format }, has_file);
choice!(LogFormat => LogFormat in log_format { Text(text), Json(keys) });
wrapped!(BTreeMap<Arc<str>, Arc<str>> => log_format::Json.keys);
message!(LogFilter => LogFilter { any });
message!(LogAlternative => LogAlternative { all });
message!(LogCondition => LogCondition { attribute, comparison, number });
word!(LogAttribute => LogAttribute { ResponseCode, ResponseFlags, GrpcStatus, MutualTls });
word!(LogComparison => LogComparison { Equal, NotEqual, Less, AtMost, Greater, AtLeast });

fn has_file(outlet: &LogOutlet) -> Result<(), FieldError> {
    if outlet.file.is_empty() {
        return Err(FieldError::new("must name a file")).at("file");
    }
    Ok(())
}
