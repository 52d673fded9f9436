// SPDX-License-Identifier: Apache-2.0
//! What becomes of an object, after how its owners are.

/// How an owner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// It is there.
    Solid,
    /// It is gone.
    Absent,
    /// It waits until what it owns is gone.
    Waits,
}

/// How an object goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// At once; what it owns follows.
    Background,
    /// After what it owns.
    Foreground,
    /// What it owns stays.
    Orphan,
}

impl Policy {
    /// Its name in `DeleteOptions`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Background => "Background",
            Self::Foreground => "Foreground",
            Self::Orphan => "Orphan",
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It stays.
    Stays,
    /// It stays; owners that are not [`Owner::Solid`] are no longer its own.
    Disowned,
    /// It goes. `unblock`: its owners do not wait for it, or they would for ever.
    Goes {
        /// How.
        policy: Policy,
        /// Whether its owners no longer wait for it.
        unblock: bool,
    },
}

/// What of an object counts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts {
    /// It owns something.
    pub has_dependents: bool,
    /// Something that it owns waits for what that owns: it may be itself, in a circle.
    pub dependent_waits: bool,
    /// It says that it goes after what it owns.
    pub foreground: bool,
    /// It says that what it owns stays.
    pub orphans: bool,
}

/// Decides.
pub fn fate(owners: &[Owner], facts: Facts) -> Fate {
    let any = |state: Owner| owners.contains(&state);
    if !any(Owner::Absent) && !any(Owner::Waits) {
        return Fate::Stays;
    }
    if any(Owner::Solid) {
        return Fate::Disowned;
    }
    if any(Owner::Waits) && facts.has_dependents {
        return Fate::Goes { policy: Policy::Foreground, unblock: facts.dependent_waits };
    }
    let policy = match facts {
        Facts { orphans: true, .. } => Policy::Orphan,
        Facts { foreground: true, .. } => Policy::Foreground,
        _ => Policy::Background,
    };
    Fate::Goes { policy, unblock: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_goes_with_the_last_of_its_owners() {
        let (solid, absent, waits) = (Owner::Solid, Owner::Absent, Owner::Waits);
        let plain = Facts::default();
        let goes = |policy, unblock| Fate::Goes { policy, unblock };
        assert_eq!(fate(&[], plain), Fate::Stays);
        assert_eq!(fate(&[solid, solid], plain), Fate::Stays);
        assert_eq!(fate(&[solid, absent], plain), Fate::Disowned);
        assert_eq!(fate(&[solid, waits], plain), Fate::Disowned);
        assert_eq!(fate(&[absent, absent], plain), goes(Policy::Background, false));
        assert_eq!(fate(&[waits], plain), goes(Policy::Background, false));
        let parent = Facts { has_dependents: true, ..plain };
        assert_eq!(fate(&[waits, absent], parent), goes(Policy::Foreground, false));
        assert_eq!(fate(&[absent], parent), goes(Policy::Background, false));
        let circle = Facts { dependent_waits: true, ..parent };
        assert_eq!(fate(&[waits], circle), goes(Policy::Foreground, true));
        assert_eq!(fate(&[absent], Facts { orphans: true, ..plain }), goes(Policy::Orphan, false));
    }
}
