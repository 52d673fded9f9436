// SPDX-License-Identifier: Apache-2.0
//! Fills in the peers' configurations, which lie in `loadgen/peers` as their own programs read them, but for:
//!
//! ```text
//! @name@              a value
//! #each KIND          the lines up to `#end` once for each of that kind; may be nested
//! #end
//! ```

use std::collections::BTreeMap;

/// Values, and lists of scopes with values of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    values: BTreeMap<&'static str, String>,
    lists: BTreeMap<&'static str, Vec<Scope>>,
}

impl Scope {
    /// With a value.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.values.insert(name, value.to_string());
        self
    }

    /// With a list.
    #[must_use]
    pub fn with_each(mut self, kind: &'static str, scopes: Vec<Self>) -> Self {
        self.lists.insert(kind, scopes);
        self
    }
}

/// Fills a template in; a name that nobody knows stays as it is, so that the program which reads the result complains of it.
pub fn fill(template: &str, scope: &Scope) -> String {
    let lines: Vec<&str> = template.lines().collect();
    let mut out = String::new();
    block(&lines, &[scope], &mut out);
    out
}

fn block(lines: &[&str], scopes: &[&Scope], out: &mut String) {
    let mut at = 0;
    while at < lines.len() {
        let Some(kind) = lines[at].trim().strip_prefix("#each ") else {
            out.push_str(&line(lines[at], scopes));
            out.push('\n');
            at += 1;
            continue;
        };
        let end = at + 1 + end(&lines[at + 1..]);
        let list = scopes.iter().rev().find_map(|scope| scope.lists.get(kind));
        for inner in list.map(Vec::as_slice).unwrap_or_default() {
            let mut scopes = scopes.to_vec();
            scopes.push(inner);
            block(&lines[at + 1..end], &scopes, out);
        }
        at = end + 1;
    }
}

/// The line of the `#end` that belongs to a block.
fn end(lines: &[&str]) -> usize {
    let mut depth = 0;
    for (at, line) in lines.iter().enumerate() {
        match line.trim() {
            "#end" if depth == 0 => return at,
            "#end" => depth -= 1,
            line if line.starts_with("#each ") => depth += 1,
            _ => {}
        }
    }
    lines.len()
}

fn line(line: &str, scopes: &[&Scope]) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('@') {
        let found = after.split_once('@').and_then(|(name, behind)| {
            let value = scopes.iter().rev().find_map(|scope| scope.values.get(name))?;
            Some((value, behind))
        });
        out.push_str(before);
        match found {
            Some((value, behind)) => {
                out.push_str(value);
                rest = behind;
            }
            None => {
                out.push('@');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_repeat_and_nest() {
        let endpoint = |at: u32| Scope::default().with("address", format!("10.0.0.{at}"));
        let service =
            |id: u32, endpoints| Scope::default().with("id", id).with_each("endpoint", endpoints);
        let scope = Scope::default()
            .with("threads", 2)
            .with_each("tcp", vec![service(1, vec![endpoint(1), endpoint(2)]), service(2, vec![])]);
        let template = "\
threads @threads@
#each tcp
listen s@id@
  #each endpoint
  server @address@ of @id@
  #end
#end
user a@b @unknown@
#each udp
never
#end";
        let want = "\
threads 2
listen s1
  server 10.0.0.1 of 1
  server 10.0.0.2 of 1
listen s2
user a@b @unknown@
";
        assert_eq!(fill(template, &scope), want);
    }
}
