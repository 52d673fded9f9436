// SPDX-License-Identifier: Apache-2.0
//! What an object of a kind is made of: fields, their types, how they are patched, and where they stand in protobuf.
//!
//! The built-in kinds come from a table of text that `cluster/api/codegen` writes; it is read once, when first asked for. Kinds that
//! come at run time are [built](Builder).

pub mod base64;
mod build;
mod fields;
mod normalise;
mod parse;
pub mod quantity;

pub use build::Builder;
pub use fields::Fields;
pub(crate) use normalise::canonical;
pub use normalise::normalise;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// The table of the built-in kinds.
static TABLE: &str = include_str!("schema/table.txt");

/// The type of a value, and of everything in it. Cheap to clone.
#[derive(Clone)]
pub struct Schema {
    table: Arc<Table>,
    form: FormId,
}

/// A type's place in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FormId(u32);

/// A type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// Any JSON, of which nothing is known.
    Any,
    /// `true` or `false`.
    Bool,
    /// A text.
    Text,
    /// A number of 32 bits.
    Int32,
    /// A number of 64 bits.
    Int64,
    /// A floating number.
    Double,
    /// Bytes: base64 in JSON.
    Bytes,
    /// An amount, `500m`.
    Quantity,
    /// A number or a text.
    IntOrString,
    /// A time in whole seconds.
    Time,
    /// A time in microseconds.
    MicroTime,
    /// Any object (`RawExtension`).
    Raw,
    /// The fields of a manager (`FieldsV1`).
    Fields,
    /// Any JSON (apiextensions' `JSON`).
    Json,
    /// A schema, or a boolean.
    SchemaOrBool,
    /// A schema, or a list of them.
    SchemaOrList,
    /// A schema, or a list of texts.
    SchemaOrTexts,
    /// A list.
    List(FormId),
    /// A map from texts.
    Map(FormId),
    /// An object with fields: index of its [`Structure`].
    Structure(u32),
}

/// An object with fields.
#[derive(Debug, Clone, Default)]
pub struct Structure {
    /// Its name: `core.v1.Pod`.
    pub name: String,
    /// Group, version and kind, if it is a kind.
    pub kind: Option<(String, String, String)>,
    /// Fields by name.
    pub fields: Fields,
    /// Fields that are not known stay.
    pub preserve_unknown: bool,
}

/// A field.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its type.
    pub form: FormId,
    /// Its tag in protobuf; several, where it is in the message of an embedded struct; none of what has no place there.
    pub tags: Vec<u32>,
    /// It is always written.
    pub required: bool,
    /// It is kept apart whether it is there: an empty one stays. (Lists and maps never are.)
    pub pointer: bool,
    /// It is written even if it is zero, though nobody has to send it.
    pub zero: bool,
    /// What a strategic merge does with it.
    pub patch: Patch,
    /// The field by which items of the list are told apart by a strategic merge; empty if there is none.
    pub merge_key: String,
    /// How lists (or maps) of server-side apply are merged: `map`, `set`, `atomic`, `granular`; empty if nothing is said.
    pub list_type: String,
    /// The fields by which items of the list are told apart by server-side apply.
    pub map_keys: Vec<String>,
    /// Default, where it is plain data.
    pub default: Option<String>,
}

/// What a strategic merge does with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Patch {
    /// Lists are merged, not replaced.
    pub merge: bool,
    /// Objects keep only the fields that the patch names in `$retainKeys`; to be told to clients.
    pub retain_keys: bool,
}

/// Structures, and types made of them.
#[derive(Debug, Default)]
struct Table {
    structures: Vec<Structure>,
    forms: Vec<Form>,
    kinds: BTreeMap<(String, String, String), FormId>,
    names: BTreeMap<String, FormId>,
    any: Option<FormId>,
}

fn built_in() -> &'static Arc<Table> {
    static PARSED: OnceLock<Arc<Table>> = OnceLock::new();
    PARSED.get_or_init(|| Arc::new(parse::table(TABLE)))
}

/// The schema of a built-in kind, or of its lists. `DeleteOptions` and `Status` are of every group.
pub fn lookup(group: &str, version: &str, kind: &str) -> Option<Schema> {
    let table = built_in();
    let found = table.kinds.get(&(group.to_owned(), version.to_owned(), kind.to_owned()));
    let meta = || match kind {
        "DeleteOptions" | "Status" => table.names.get(&format!("meta.v1.{kind}")),
        _ => None,
    };
    let form = *found.or_else(meta)?;
    Some(Schema { table: Arc::clone(table), form })
}

/// The schema of a structure that need not be a kind, by its name: `core.v1.PodSpec`, `meta.v1.ObjectMeta`.
pub fn named(name: &str) -> Option<Schema> {
    let table = built_in();
    Some(Schema { table: Arc::clone(table), form: *table.names.get(name)? })
}

impl Schema {
    /// An object of which only `apiVersion`, `kind` and `metadata` are known; everything else stays.
    pub fn any() -> Self {
        let table = built_in();
        let form = table.any.unwrap_or(FormId(0));
        Self { table: Arc::clone(table), form }
    }

    /// Whether it is of the built-in kinds, whose lists have keys to be merged by.
    pub fn is_built_in(&self) -> bool {
        Arc::ptr_eq(&self.table, built_in())
            && self.structure().is_some_and(|one| one.kind.is_some())
    }

    /// The same without a share of the table, for walks: a count that all threads change is slow.
    pub fn view(&self) -> View<'_> {
        View { table: &self.table, form: self.form }
    }

    /// The type.
    pub fn form(&self) -> Form {
        self.view().form()
    }

    /// Its structure, if it has fields.
    pub fn structure(&self) -> Option<&Structure> {
        self.view().structure()
    }

    /// A field and its schema.
    pub fn field(&self, name: &str) -> Option<(&Field, Self)> {
        let (field, inner) = self.view().field(name)?;
        Some((field, self.of(inner)))
    }

    /// All fields in order of their names, each with its schema.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Field, Self)> {
        self.view().fields().map(|(name, field, inner)| (name, field, self.of(inner)))
    }

    /// The schema of a list's items.
    pub fn items(&self) -> Option<Self> {
        self.view().items().map(|inner| self.of(inner))
    }

    /// The schema of a map's values.
    pub fn values(&self) -> Option<Self> {
        self.view().values().map(|inner| self.of(inner))
    }

    /// Whether nothing is known of the value: it stays as it is.
    pub fn is_opaque(&self) -> bool {
        matches!(self.form(), Form::Any | Form::Raw | Form::Fields | Form::Json)
    }

    /// The schema of a schema, of `JSONSchemaProps` or a boolean and the like.
    pub(crate) fn of_schema(&self) -> Option<Self> {
        self.view().of_schema().map(|inner| self.of(inner))
    }

    fn of(&self, view: View<'_>) -> Self {
        Self { table: Arc::clone(&self.table), form: view.form }
    }
}

/// A [`Schema`] that is borrowed.
#[derive(Clone, Copy)]
pub struct View<'a> {
    table: &'a Table,
    form: FormId,
}

impl<'a> View<'a> {
    /// The type.
    pub fn form(self) -> Form {
        self.table.forms.get(self.form.0 as usize).copied().unwrap_or(Form::Any)
    }

    /// Its structure, if it has fields.
    pub fn structure(self) -> Option<&'a Structure> {
        match self.form() {
            Form::Structure(index) => self.table.structures.get(index as usize),
            _ => None,
        }
    }

    /// A field and its schema.
    pub fn field(self, name: &str) -> Option<(&'a Field, Self)> {
        let field = self.structure()?.fields.get(name)?;
        Some((field, self.of(field.form)))
    }

    /// All fields in order of their names, each with its schema.
    pub fn fields(self) -> impl Iterator<Item = (&'a str, &'a Field, Self)> {
        let fields = self.structure().into_iter().flat_map(|one| one.fields.iter());
        fields.map(move |(name, field)| (name, field, self.of(field.form)))
    }

    /// Fields that are written even where nobody has set them.
    pub(super) fn written(self) -> impl Iterator<Item = (&'a str, Self)> {
        let fields = self.structure().map(|one| &one.fields);
        let places = fields.map_or(&[][..], |fields| {
            let always = |place: &usize| {
                let (_, field) = fields.at(*place);
                normalise::always(field, self.of(field.form))
            };
            fields.written.get_or_init(|| fields.places().iter().copied().filter(always).collect())
        });
        let one = move |place: &usize| fields.map(|fields| fields.at(*place));
        places.iter().filter_map(one).map(move |(name, field)| (name, self.of(field.form)))
    }

    /// The schema of a list's items.
    pub fn items(self) -> Option<Self> {
        match self.form() {
            Form::List(form) => Some(self.of(form)),
            _ => None,
        }
    }

    /// The schema of a map's values.
    pub fn values(self) -> Option<Self> {
        match self.form() {
            Form::Map(form) => Some(self.of(form)),
            _ => None,
        }
    }

    /// The schema of a schema, of `JSONSchemaProps` or a boolean and the like.
    pub(crate) fn of_schema(self) -> Option<Self> {
        Some(self.of(*self.table.names.get("apiextensions.v1.JSONSchemaProps")?))
    }

    fn of(self, form: FormId) -> Self {
        Self { table: self.table, form }
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.structure() {
            Some(structure) => f.write_str(&structure.name),
            None => write!(f, "{:?}", self.form()),
        }
    }
}

#[cfg(test)]
mod tests;
