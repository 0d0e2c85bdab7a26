//! Numbers of a home: `v1::HomeFigures` <-> `HomeFigures`.

use yizhan_proto::v1::{self, figure::Basis};

use super::value::{at_most, date, date_message};
use crate::domain::{
    home_figures::{CELLS_MAX, Cell, HomeFigures},
    text::Invalid,
};

impl TryFrom<v1::HomeFigures> for HomeFigures {
    type Error = Invalid;

    fn try_from(message: v1::HomeFigures) -> Result<HomeFigures, Invalid> {
        at_most(&message.cells, CELLS_MAX, "cells")?;
        let cell = |cell: v1::home_figures::Cell| {
            Ok(Cell {
                is_reported: cell.basis() == Basis::Reported,
                since: date(cell.since, "cells.since")?,
                metric: cell.metric,
                value: cell.value,
            })
        };
        HomeFigures::new(message.cells.into_iter().map(cell).collect::<Result<_, Invalid>>()?)
    }
}

impl From<HomeFigures> for v1::HomeFigures {
    fn from(figures: HomeFigures) -> v1::HomeFigures {
        let cell = |cell: &Cell| v1::home_figures::Cell {
            metric: cell.metric.clone(),
            since: cell.since.map(date_message),
            value: cell.value,
            basis: if cell.is_reported { Basis::Reported } else { Basis::Counted }.into(),
        };
        v1::HomeFigures { cells: figures.cells().iter().map(cell).collect() }
    }
}
