//! Path patterns of API products, as Apigee reads them.
//!
//! `/` is every path; `*` is exactly one segment; `**` is any number of them, none included. A slash at the end of either side
//! does not count. Segments are compared as the client sent them, undecoded.

/// A pattern, by segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resource(Box<[Segment]>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(Box<str>),
    One,
    Any,
}

/// How closely a pattern names a path; greater is closer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Closeness {
    literals: usize,
    ones: usize,
}

// === impl Resource ===

impl Resource {
    pub(super) fn new(pattern: &str) -> Self {
        let segment = |text: &str| match text {
            "*" => Segment::One,
            "**" => Segment::Any,
            literal => Segment::Literal(literal.into()),
        };
        let segments: Box<[Segment]> = segments(pattern).map(segment).collect();
        if segments.is_empty() { Self(Box::new([Segment::Any])) } else { Self(segments) }
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        // Most products cover every path.
        *self.0 == [Segment::Any] || matches(&self.0, segments(path))
    }

    pub(super) fn closeness(&self) -> Closeness {
        let count = |is: fn(&Segment) -> bool| self.0.iter().filter(|segment| is(segment)).count();
        Closeness {
            literals: count(|segment| matches!(segment, Segment::Literal(_))),
            ones: count(|segment| matches!(segment, Segment::One)),
        }
    }
}

impl Closeness {
    /// Of a product that names no path.
    pub(super) const NONE: Self = Self { literals: 0, ones: 0 };
}

fn segments(path: &str) -> impl Iterator<Item = &str> + Clone {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/').skip(usize::from(path.is_empty()))
}

fn matches<'a>(pattern: &[Segment], path: impl Iterator<Item = &'a str> + Clone) -> bool {
    // One place to come back to is enough: the last `**` can always take what an earlier one could have taken.
    let (mut rest, mut here) = (pattern, path);
    let mut retry: Option<(&[Segment], _)> = None;
    loop {
        match rest.split_first() {
            Some((Segment::Any, after)) => {
                rest = after;
                retry = Some((after, here.clone()));
                continue;
            }
            Some((segment, after)) => {
                if let Some(text) = here.next()
                    && (*segment == Segment::One
                        || matches!(segment, Segment::Literal(literal) if **literal == *text))
                {
                    rest = after;
                    continue;
                }
            }
            None if here.clone().next().is_none() => return true,
            None => {}
        }
        // What follows the last `**` did not match: it takes one segment more.
        let Some((after, from)) = &mut retry else { return false };
        if from.next().is_none() {
            return false;
        }
        (rest, here) = (after, from.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_documented() {
        let check = |rows: &[(&str, &str, bool)]| {
            for (pattern, path, want) in rows {
                assert_eq!(Resource::new(pattern).matches(path), *want, "{pattern} {path}");
            }
        };
        check(&[
            ("/", "/", true),
            ("/", "/a/b", true),
            ("", "/a", true),
            ("/**", "/", true),
            ("/**", "/a/b/c", true),
            ("/*", "/", false),
            ("/*", "/a", true),
            ("/*", "/a/", true),
            ("/*", "/a/b", false),
            ("/orders", "/orders", true),
            ("/orders", "/orders/1", false),
            ("/orders", "/Orders", false),
            ("/orders/*", "/orders/1", true),
            ("/orders/*", "/orders/1/lines", false),
            ("/orders/**", "/orders", true),
            ("/orders/**", "/orders/1/lines", true),
            ("/*/lines", "/orders/lines", true),
            ("/**/lines", "/orders/1/lines", true),
            ("/**/lines", "/orders/1/lines/2", false),
            ("/a/**/b/**/c", "/a/x/b/b/y/c", true),
            ("/a/**/b/*/c", "/a/b/b/b/c", true),
            ("/a/**/b/*/c", "/a/b/b/c/c/c", false),
        ]);
    }
}
