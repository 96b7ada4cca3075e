use std::{fmt, sync::Arc};

use hyper::StatusCode;

use crate::figures::{Count, Level};

/// What the viewers' server has done since it started.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections and their bytes.
    pub traffic: Arc<Traffic>,
    /// Requests whose answer has not begun: held, or being worked out.
    pub waiting: Level,
    /// Requests that were answered.
    pub requests: Requests,
    /// Requests for documents that shared what had been written, or was being written, for others.
    pub shared_documents: Count,
    /// Calls of plugins to write a document.
    pub renders: Count,
}

/// What goes through a listener's connections.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Connections that were accepted.
    pub connections: Level,
    /// Those beyond the limit: told so, or closed unread.
    pub turned_away: Count,
    /// Those that never came to agree on TLS.
    pub failed_handshakes: Count,
    /// Bytes sent, header fields included.
    pub sent: Count,
}

/// What is asked for, as far as it is counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What a plugin writes.
    Document,
    /// Init segments, segments, parts.
    Media,
    /// The page.
    Page,
    /// `/healthz`.
    Health,
    /// Addresses that don't exist, methods that don't work here, `OPTIONS`.
    Other,
}

impl Kind {
    /// All there are.
    pub const ALL: [Self; 5] = [
        Self::Document,
        Self::Media,
        Self::Page,
        Self::Health,
        Self::Other,
    ];

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Media => "media",
            Self::Page => "page",
            Self::Health => "health",
            Self::Other => "other",
        }
    }
}

/// Answered requests, by kind and status. There is a place for every status, since plugins choose them, too.
pub struct Requests(Box<[Count]>);

/// Status codes from 100 to before 600 (RFC 9110, 15).
const STATUSES: usize = 500;
const FIRST: u16 = 100;

impl Default for Requests {
    fn default() -> Self {
        let places = Kind::ALL.len() * STATUSES;
        Self((0..places).map(|_| Count::default()).collect())
    }
}

impl Requests {
    pub(super) fn answered(&self, kind: Kind, status: StatusCode) {
        // What is no status at all is none of ours.
        let status = usize::from(status.as_u16().saturating_sub(FIRST)).min(STATUSES - 1);
        self.0[kind as usize * STATUSES + status].one();
    }

    /// How many of each kind got which status; only those that there were.
    pub fn get(&self) -> impl Iterator<Item = (Kind, u16, u64)> {
        let kinds = Kind::ALL.iter().zip(self.0.chunks(STATUSES));
        kinds.flat_map(|(&kind, statuses)| {
            (FIRST..)
                .zip(statuses)
                .map(move |(status, count)| (kind, status, count.get()))
                .filter(|&(_, _, count)| count > 0)
        })
    }

    /// How many together.
    pub fn all(&self) -> u64 {
        self.0.iter().map(Count::get).sum()
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.get()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_under_its_kind_and_status_alone() {
        let requests = Requests::default();
        for (kind, status) in [
            (Kind::Document, 200),
            (Kind::Other, 404),
            (Kind::Other, 404),
        ] {
            requests.answered(kind, StatusCode::from_u16(status).unwrap());
        }
        requests.answered(Kind::Media, StatusCode::from_u16(999).unwrap());
        let seen: Vec<_> = requests.get().collect();
        let expected = [
            (Kind::Document, 200, 1),
            (Kind::Media, 599, 1),
            (Kind::Other, 404, 2),
        ];
        assert_eq!(seen, expected);
        assert_eq!(requests.all(), 4);
    }
}
