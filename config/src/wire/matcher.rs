//! Matchers, as the texts that users wrote; compiled again on arrival, with the same bounds.

use super::{
    error::{At, FieldError},
    field::{Field, Level, choice},
    v1,
};
use crate::matcher::{PathTemplate, Pattern, StringMatch};

/// Compiled from their text.
macro_rules! compiled {
    ($($ty:ty)*) => {$(
        impl Field<String> for $ty {
            fn put(&self, _: &mut Level) -> String {
                self.as_str().to_owned()
            }

            fn take(wire: String) -> Result<Self, FieldError> {
                <$ty>::new(&wire).map_err(FieldError::new)
            }
        }
    )*};
}

compiled!(Pattern PathTemplate);
choice!(StringMatch => StringMatch in string_match { Exact(text), Prefix(text), Suffix(text), Regex(pattern), Present });
