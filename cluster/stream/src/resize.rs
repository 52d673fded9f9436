// SPDX-License-Identifier: Apache-2.0
//! Sizes of the client's terminal.

use crate::limits::RESIZE_MAX;
use crate::link::Input;
use bytes::{Buf, BytesMut};
use serde::Deserialize;
use tokio::io::AsyncReadExt;

/// How large the client's terminal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Size {
    /// Columns.
    #[serde(alias = "Width")]
    pub width: u16,
    /// Rows.
    #[serde(alias = "Height")]
    pub height: u16,
}

/// The sizes that the client's terminal takes on.
#[derive(Debug)]
pub struct Resizes {
    input: Input,
    text: BytesMut,
}

impl Resizes {
    pub(crate) fn new(input: Input) -> Self {
        Self { input, text: BytesMut::new() }
    }

    /// The next size; `None` if there will be none, or the client sends something else. May be dropped and called again.
    pub async fn next(&mut self) -> Option<Size> {
        loop {
            match first(&self.text) {
                Ok(Some((size, length))) => {
                    self.text.advance(length);
                    return Some(size);
                }
                Ok(None) if self.text.len() < RESIZE_MAX => {}
                _ => return None,
            }
            let mut piece = [0; 512];
            match self.input.read(&mut piece).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.text.extend_from_slice(&piece[..count]),
            }
        }
    }
}

/// The first size in a text and how long it is there; none if it is not whole.
fn first(text: &[u8]) -> Result<Option<(Size, usize)>, serde_json::Error> {
    let mut sizes = serde_json::Deserializer::from_slice(text).into_iter::<Size>();
    match sizes.next() {
        None => Ok(None),
        Some(Ok(size)) => Ok(Some((size, sizes.byte_offset()))),
        Some(Err(error)) if error.is_eof() => Ok(None),
        Some(Err(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_one_another() {
        let text = b"{\"Width\":80,\"Height\":24}\n{\"Width\":132,\"Height\":50} ";
        let (size, length) = first(text).unwrap().unwrap();
        assert_eq!((size, length), (Size { width: 80, height: 24 }, 24));
        let (size, length) = first(&text[24..]).unwrap().unwrap();
        assert_eq!((size, length), (Size { width: 132, height: 50 }, 26));
        for part in 0..24 {
            assert_eq!(first(&text[..part]).unwrap(), None, "{part}");
        }
        for wrong in
            [&b"[]"[..], b"{\"Width\":-1,\"Height\":2}", b"{\"Width\":70000,\"Height\":2}", b"x"]
        {
            assert!(first(wrong).is_err());
        }
    }
}
