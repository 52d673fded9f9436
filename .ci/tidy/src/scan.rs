// SPDX-License-Identifier: Apache-2.0
//! Reading Rust by its lines. Formatted code is regular enough: an item ends at the brace in its own column.

/// A function by name and length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Name.
    pub name: String,
    /// Lines from its head to its closing brace.
    pub lines: usize,
}

/// The lines before a file's test module, which stands last.
pub fn production(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| *line != "#[cfg(test)]\nmod tests {" && *line != "mod tests {")
}

/// The functions of production code that have a body.
#[must_use]
pub fn functions(text: &str) -> Vec<Function> {
    let lines: Vec<&str> = production(text).collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let closing = format!("{}}}", " ".repeat(indent));
        let rest = lines[at..].iter().take_while(|l| !ends_without_body(l, indent));
        let Some(end) = rest.clone().position(|l| *l == closing) else { continue };
        found.push(Function { name, lines: end + 1 });
    }
    found
}

/// A declaration without body, or a body on the same line.
fn ends_without_body(line: &str, indent: usize) -> bool {
    let own = line.len() - line.trim_start().len() == indent;
    own && (line.ends_with(';') || (line.contains("fn ") && line.ends_with('}')))
}

fn function_name(line: &str) -> Option<String> {
    let mut rest = line.trim_start();
    if rest.starts_with("pub") {
        rest = rest.split_once(' ')?.1.trim_start();
        if let Some(inside) = line.trim_start().strip_prefix("pub(in ") {
            rest = inside.split_once(") ")?.1;
        }
    }
    for qualifier in ["const ", "async ", "unsafe ", "extern \"C\" "] {
        rest = rest.strip_prefix(qualifier).unwrap_or(rest);
    }
    let name = rest.strip_prefix("fn ")?;
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    Some(name[..end].to_owned())
}

/// A line without comment. Strings that hold `//` are cut too: good enough for what is looked for.
#[must_use]
pub fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_end_at_the_brace_in_their_own_column() {
        let text = "\
pub(crate) fn one(x: u32) -> u32 {
    let y = {
        x
    };
    y
}

trait Short {
    fn declared(&self);
    fn inline(&self) {}
    const fn two() {
        one(1);
    }
}

#[cfg(test)]
mod tests {
    fn three() {
    }
}
";
        let lengths: Vec<_> = functions(text).into_iter().map(|f| (f.name, f.lines)).collect();
        assert_eq!(lengths, [("one".to_owned(), 6), ("two".to_owned(), 3)]);
    }

    #[test]
    fn comments_are_no_code() {
        assert_eq!(code("a // b"), "a ");
        assert_eq!(code("/// x.unwrap()"), "");
    }
}
