//! A paged list: one page, or all pages one after the other.

use std::future::Future;

use crate::error::{Error, Result};

/// Most pages that are followed: a server that never ends its list must not hold a client forever.
const PAGES_MAX: usize = 100_000;
/// Items asked for at once when all are wanted.
pub const PAGE_SIZE_ALL: i32 = 1_000;

/// How much of a list is wanted.
#[derive(clap::Args, Clone, Debug)]
pub struct Paging {
    /// Items per page, at most 1,000; the server's choice if not given, with --all 1,000
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub limit: Option<i32>,
    /// Where the page before ended: its `next_page_token`
    #[arg(long, value_name = "T")]
    pub page_token: Option<String>,
    /// All pages, one after the other
    #[arg(long)]
    pub all: bool,
}

/// One page as a server gives it.
pub struct Page<T, S = ()> {
    pub items: Vec<T>,
    pub next_page_token: String,
    /// What else the answer says; of several pages, the last one's.
    pub rest: S,
}

impl Paging {
    /// Fetches what is wanted with `fetch(page_size, page_token)`.
    pub async fn fetch<T, S, F>(
        &self,
        mut fetch: impl FnMut(i32, String) -> F,
    ) -> Result<Page<T, S>>
    where
        F: Future<Output = Result<Page<T, S>>>,
    {
        let size = self.limit.unwrap_or(if self.all { PAGE_SIZE_ALL } else { 0 });
        let mut page = fetch(size, self.page_token.clone().unwrap_or_default()).await?;
        if !self.all {
            return Ok(page);
        }
        for _ in 0..PAGES_MAX {
            if page.next_page_token.is_empty() {
                return Ok(page);
            }
            let next = fetch(size, page.next_page_token.clone()).await?;
            if next.next_page_token == page.next_page_token {
                break;
            }
            page.items.extend(next.items);
            (page.next_page_token, page.rest) = (next.next_page_token, next.rest);
        }
        Err(Error::failed("ENDLESS_LIST", "the server's list does not end"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn numbers(size: i32, token: String) -> Result<Page<i32>> {
        let start: i32 = token.parse().unwrap_or(0);
        let end = (start + if size == 0 { 2 } else { size }).min(2_500);
        let next = if end == 2_500 { String::new() } else { end.to_string() };
        Ok(Page { items: (start..end).collect(), next_page_token: next, rest: () })
    }

    #[tokio::test]
    async fn one_page_or_all_of_them() {
        let one = Paging { limit: None, page_token: None, all: false };
        let page = one.fetch(numbers).await.unwrap();
        assert_eq!((page.items, page.next_page_token.as_str()), (vec![0, 1], "2"));

        let all = Paging { all: true, ..one };
        assert_eq!(all.fetch(numbers).await.unwrap().items.len(), 2_500);
        let in_small_pages = Paging { limit: Some(7), ..all };
        assert_eq!(in_small_pages.fetch(numbers).await.unwrap().items.len(), 2_500);
    }

    #[tokio::test]
    async fn a_list_that_does_not_move_on_is_given_up() {
        let all = Paging { limit: None, page_token: None, all: true };
        let stuck =
            |_, _| async { Ok(Page { items: vec![1], next_page_token: "x".to_owned(), rest: () }) };
        let error = all.fetch(stuck).await.map(|_| ()).unwrap_err();
        assert_eq!(error.reason, "ENDLESS_LIST");
    }
}
