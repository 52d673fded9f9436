// SPDX-License-Identifier: Apache-2.0
//! What is wrong with amounts of storage.

use crate::field::{Errors, Path};
use crate::kinds::pod::nano;
use berth_cluster_json::Value;

/// More than nothing is asked for.
pub(super) fn positive(amount: &Value, path: &Path, errors: &mut Errors) -> bool {
    let sound = nano(amount).is_none_or(|amount| amount > 0);
    if !sound {
        errors.invalid(path, amount.clone(), "must be greater than zero");
    }
    sound
}

/// No less than nothing.
pub(super) fn not_negative(amount: &Value, path: &Path, errors: &mut Errors) {
    if nano(amount).is_some_and(|amount| amount < 0) {
        errors.invalid(path, amount.clone(), "must be greater than or equal to 0");
    }
}

/// What is measured, and not asked for, is no less than nothing; upstream shows the number in whole ones.
pub(super) fn measured(amount: &Value, path: &Path, errors: &mut Errors) {
    if let Some(nano) = nano(amount).filter(|amount| *amount < 0) {
        let whole = i64::try_from(nano / crate::schema::quantity::NANO).unwrap_or(i64::MIN);
        errors.invalid(path, whole, "must be a valid resource quantity");
    }
}
