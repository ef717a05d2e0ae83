// SPDX-License-Identifier: Apache-2.0
//! Reading bytes from elsewhere: a cursor that never goes beyond its end. Numbers are little-endian.

use crate::refusal::{Field, Refusal};
use std::net::Ipv4Addr;

/// What is left to read.
#[derive(Clone)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    /// Bytes left.
    pub(crate) fn left(&self) -> usize {
        self.0.len()
    }

    /// The next `length` bytes.
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Refusal> {
        let (head, tail) = self.0.split_at_checked(length).ok_or(Refusal::Truncated)?;
        self.0 = tail;
        Ok(head)
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or(Refusal::Truncated)?;
        self.0 = tail;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Refusal> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Refusal> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Refusal> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Refusal> {
        self.array().map(u64::from_le_bytes)
    }

    /// A number of `N` bytes, at most 16.
    pub(crate) fn uint<const N: usize>(&mut self) -> Result<u128, Refusal> {
        let mut bytes = [0; 16];
        bytes[..N].copy_from_slice(&self.array::<N>()?);
        Ok(u128::from_le_bytes(bytes))
    }

    /// In network order, as everywhere.
    pub(crate) fn ipv4(&mut self) -> Result<Ipv4Addr, Refusal> {
        self.array::<4>().map(Ipv4Addr::from)
    }

    /// `N` bytes that have no meaning yet and must be 0.
    pub(crate) fn reserved<const N: usize>(&mut self) -> Result<(), Refusal> {
        if self.array::<N>()? == [0; N] { Ok(()) } else { Err(Refusal::Field(Field::Reserved)) }
    }

    /// That nothing is left.
    pub(crate) fn end(&self) -> Result<(), Refusal> {
        if self.0.is_empty() { Ok(()) } else { Err(Refusal::Length) }
    }
}
