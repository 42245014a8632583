//! Lists in pages: by a key that does not change, so that a page has each item once however many come in between.

use serde::Serialize;
use utoipa::ToSchema;

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct List<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// Give it as `cursor` to get the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T> List<T> {
    /// The page of `limit` items, of which one more was asked for: its being there tells that there is another page.
    /// The cursor is the key of the last item.
    pub fn cut(mut items: Vec<T>, limit: u32, key: impl Fn(&T) -> String) -> Self {
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next = items.last().filter(|_| more).map(key);
        Self { items, next }
    }
}

/// How many items a page may have.
#[derive(Clone, Copy, Debug)]
pub struct PageSize {
    /// At most.
    pub most: u32,
    /// When the request does not say.
    pub usual: u32,
}

impl PageSize {
    /// Of a list whose items tell much each.
    pub const SHORT: Self = Self {
        most: 200,
        usual: 50,
    };
    /// Of a list whose items are a line each.
    pub const LONG: Self = Self {
        most: 1000,
        usual: 100,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_page_has_no_next() {
        let key = |n: &i32| n.to_string();
        assert_eq!(List::cut(vec![1, 2, 3], 2, key).next.as_deref(), Some("2"));
        assert_eq!(List::cut(vec![1, 2], 2, key).next, None);
        assert_eq!(List::cut(Vec::new(), 2, key).next, None);
    }
}
