// SPDX-License-Identifier: Apache-2.0
//! [`json!`](crate::json!).

/// A value as it is written in JSON; what is no literal is any expression that can be serialised, and a member's name too may be one.
///
/// ```
/// let name = "web";
/// let value = berth_cluster_json::json!({ "kind": "Pod", "metadata": { "name": name }, "list": [1, null, true] });
/// assert_eq!(value["metadata"]["name"], "web");
/// assert_eq!(value.to_string(), r#"{"kind":"Pod","list":[1,null,true],"metadata":{"name":"web"}}"#);
/// ```
#[macro_export]
macro_rules! json {
    ($($all:tt)+) => {
        $crate::inner!($($all)+)
    };
}

// A list is eaten item by item, an object name by name; what stands between is gathered until the comma that ends it.
#[doc(hidden)]
#[macro_export]
macro_rules! inner {
    (null) => { $crate::Value::Null };
    (true) => { $crate::Value::Bool(true) };
    (false) => { $crate::Value::Bool(false) };
    ([]) => { $crate::Value::Array(::std::vec::Vec::new()) };
    ([ $($items:tt)+ ]) => { $crate::Value::Array($crate::items!([] $($items)+)) };
    ({}) => { $crate::Value::Object($crate::Map::new()) };
    ({ $($members:tt)+ }) => {
        $crate::Value::Object({
            let mut map = $crate::Map::new();
            $crate::members!(map () ($($members)+));
            map
        })
    };
    ($text:literal) => { $crate::Value::from($text) };
    ($other:expr) => { $crate::to_value(&$other) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! items {
    // All are there.
    ([$($done:expr,)*]) => { ::std::vec![$($done),*] };
    // The next one is none that an expression could be.
    ([$($done:expr,)*] null $(, $($rest:tt)*)?) => { $crate::items!([$($done,)* $crate::inner!(null),] $($($rest)*)?) };
    ([$($done:expr,)*] true $(, $($rest:tt)*)?) => { $crate::items!([$($done,)* $crate::inner!(true),] $($($rest)*)?) };
    ([$($done:expr,)*] false $(, $($rest:tt)*)?) => { $crate::items!([$($done,)* $crate::inner!(false),] $($($rest)*)?) };
    ([$($done:expr,)*] [$($inner:tt)*] $(, $($rest:tt)*)?) => { $crate::items!([$($done,)* $crate::inner!([$($inner)*]),] $($($rest)*)?) };
    ([$($done:expr,)*] {$($inner:tt)*} $(, $($rest:tt)*)?) => { $crate::items!([$($done,)* $crate::inner!({$($inner)*}),] $($($rest)*)?) };
    ([$($done:expr,)*] $next:expr, $($rest:tt)*) => { $crate::items!([$($done,)* $crate::inner!($next),] $($rest)*) };
    ([$($done:expr,)*] $last:expr) => { $crate::items!([$($done,)* $crate::inner!($last),]) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! members {
    ($map:ident () ()) => {};
    // The name is whole; its value is none that an expression could be.
    ($map:ident ($($name:tt)+) (: null $(, $($rest:tt)*)?)) => { $crate::member!($map ($($name)+) (null) ($($($rest)*)?)) };
    ($map:ident ($($name:tt)+) (: true $(, $($rest:tt)*)?)) => { $crate::member!($map ($($name)+) (true) ($($($rest)*)?)) };
    ($map:ident ($($name:tt)+) (: false $(, $($rest:tt)*)?)) => { $crate::member!($map ($($name)+) (false) ($($($rest)*)?)) };
    ($map:ident ($($name:tt)+) (: [$($inner:tt)*] $(, $($rest:tt)*)?)) => { $crate::member!($map ($($name)+) ([$($inner)*]) ($($($rest)*)?)) };
    ($map:ident ($($name:tt)+) (: {$($inner:tt)*} $(, $($rest:tt)*)?)) => { $crate::member!($map ($($name)+) ({$($inner)*}) ($($($rest)*)?)) };
    ($map:ident ($($name:tt)+) (: $value:expr, $($rest:tt)*)) => { $crate::member!($map ($($name)+) ($value) ($($rest)*)) };
    ($map:ident ($($name:tt)+) (: $value:expr)) => { $crate::member!($map ($($name)+) ($value) ()) };
    // One more piece of the name.
    ($map:ident ($($name:tt)*) ($next:tt $($rest:tt)*)) => { $crate::members!($map ($($name)* $next) ($($rest)*)) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! member {
    ($map:ident ($($name:tt)+) ($($value:tt)+) ($($rest:tt)*)) => {
        let _ = $map.insert($($name)+, $crate::inner!($($value)+));
        $crate::members!($map () ($($rest)*));
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_written_is_what_serde_would_make_of_it() {
        let (name, list, some, none) = ("n".to_owned(), vec![1, 2], Some("s"), None::<u8>);
        macro_rules! both {
            ($($all:tt)+) => {
                assert_eq!(crate::json!($($all)+).to_string(), serde_json::json!($($all)+).to_string());
            };
        }
        both!(null);
        both!("text");
        both!([]);
        both!({});
        both!(-1);
        both!(1.5);
        both!([null, true, [], {}, "a", -1, 1 + 2, name.as_str(), [false,],]);
        both!({ "a": null, "b": [1], "c": { "d": true }, name.clone(): list, "e": some, "f": none, });
        both!({ "a": if list.is_empty() { 1 } else { 2 }, "b": list.iter().map(|at| at * 2).collect::<Vec<_>>() });
        both!({ (name.clone()): { "x": -0.5 }, format!("{}-{}", name, 1): false });
    }
}
