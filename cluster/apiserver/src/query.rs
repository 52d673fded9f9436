// SPDX-License-Identifier: Apache-2.0
//! Options in the query of a request, read as upstream's apimachinery reads them.

use berth_cluster_api::Refusal;

/// Options by name.
#[derive(Debug, Clone, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query. Empty pairs are passed over.
    pub fn new(text: &str) -> Self {
        let pairs = form_urlencoded::parse(text.as_bytes()).filter(|(name, _)| !name.is_empty());
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// The first value of an option.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// The value of an option; empty if it is not there.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// All values of an option.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// A switch: anything but absent, `0` and `false` (in any case) is on.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    /// A whole number.
    ///
    /// # Errors
    /// Something else.
    pub fn number(&self, name: &str) -> Result<Option<i64>, Refusal> {
        match self.get(name) {
            None | Some("") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| {
                let why = format!("strconv.ParseInt: parsing {text:?}: invalid syntax");
                Refusal::bad_request(why)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_upstream_reads_them() {
        let query = Query::new("?&watch=&a=0&b=False&c=True&limit=5&x=a%3Db+c");
        assert!(query.flag("c") && !query.flag("a") && !query.flag("b") && !query.flag("none"));
        assert!(query.flag("watch"), "an empty value is on");
        assert_eq!(query.number("limit"), Ok(Some(5)));
        assert_eq!(query.text("x"), "a=b c");
        assert!(Query::new("limit=x").number("limit").is_err());
    }
}
