//! The known shapes as one tree, so that what several begin with is compared once.
//!
//! ```text
//! {"v":1,"type":"heartbeat ─► ","device":" Text ─► ","ring":" Text ─► ... ─► End: shape 0
//!   │ else                                                └ else ─► ... ─► End: shape 2
//! {"v":1,"type":"boot ─► ...
//! ```
//! Where shapes part, at most one way fits a record: a literal ends before a value, the next one
//! goes on behind its first byte, and which values are read follows from their keys. So a step that
//! was taken is never gone back on, and a record that fits no shape costs hardly more than one that
//! does.

#![expect(clippy::inline_always, reason = "a call would undo the choice of instructions")]

use super::super::scan::{self, BLOCK, Block, Blocks, Record, behind};
use super::{Gap, SLOTS, Shape, Slots};

/// Most bytes of a literal in one node: fewer than a block, so that a window shows what follows.
const PART: usize = BLOCK - 1;

/// No node.
const NONE: u16 = u16::MAX;

/// A literal, or a part of it, and what stands behind it. One cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Node {
    literal: Block,
    /// One bit for each byte that is not the literal's.
    ignored: u32,
    length: u8,
    gap: Gap,
    slot: u8,
    /// Tried where this one's literal does not fit.
    next: u16,
    /// What comes behind the gap; at the end, the number of the shape.
    child: u16,
}

const _: () = assert!(size_of::<Node>() == 64, "a node is one cache line");

impl Node {
    fn new(literal: &[u8], gap: Gap, slot: u8) -> Self {
        let (length, mut block) = (literal.len(), [0; BLOCK]);
        block[..length].copy_from_slice(literal);
        let ignored = u32::MAX.checked_shl(length as u32).unwrap_or(0);
        let length = length as u8;
        Self { literal: block, ignored, length, gap, slot, next: NONE, child: NONE }
    }

    fn is_same(&self, other: &Self) -> bool {
        let key = |it: &Self| (it.literal, it.length, it.gap, it.slot);
        key(self) == key(other)
    }

    /// Whether this is a whole literal that `other` goes on behind: what fits that one's first part
    /// may still be of this one, and the other way round it shows at the value.
    fn ends_where_continues(&self, other: &Self) -> bool {
        let is_whole = self.gap != Gap::None && other.gap == Gap::None;
        is_whole && (self.literal, self.length) == (other.literal, other.length)
    }
}

/// Known shapes by number.
#[derive(Debug, Default)]
pub(in crate::decode) struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    pub(in crate::decode) fn clear(&mut self) {
        self.nodes.clear();
    }

    /// Adds a shape, tried after those that were added before; says no if it is known.
    pub(in crate::decode) fn add(&mut self, shape: &Shape, number: u16) -> bool {
        let (mut parent, mut is_new, mut rest) = (None, false, &*shape.literals);
        for segment in &shape.segments {
            let (mut literal, others) = rest.split_at(segment.literal_length.into());
            rest = others;
            while let Some((part, more)) = literal.split_at_checked(PART)
                && !more.is_empty()
            {
                parent = Some(self.step(parent, Node::new(part, Gap::None, 0), &mut is_new));
                literal = more;
            }
            let node = Node::new(literal, segment.gap, segment.slot);
            parent = Some(self.step(parent, node, &mut is_new));
        }
        if let Some(end) = parent
            && is_new
        {
            self.nodes[usize::from(end)].child = number;
        }
        is_new
    }

    /// The child of `parent` that is like `node`.
    fn step(&mut self, parent: Option<u16>, mut node: Node, is_new: &mut bool) -> u16 {
        let new = self.nodes.len() as u16;
        let mut link = match parent {
            Some(parent) => &mut self.nodes[usize::from(parent)].child,
            None if new == 0 => &mut { NONE },
            None => &mut { 0 },
        };
        while *link != NONE {
            let at = *link;
            if self.nodes[usize::from(at)].is_same(&node) {
                return at;
            }
            if node.ends_where_continues(&self.nodes[usize::from(at)]) {
                // It takes the other's place, and that comes next.
                *is_new = true;
                node.next = new;
                let other = std::mem::replace(&mut self.nodes[usize::from(at)], node);
                self.nodes.push(other);
                return at;
            }
            link = &mut self.nodes[usize::from(at)].next;
        }
        *link = new;
        *is_new = true;
        self.nodes.push(node);
        new
    }

    /// The number of the shape that a record has; then `slots` holds its values.
    #[inline(always)]
    pub(in crate::decode) fn find<const PLAIN: bool>(
        &self,
        blocks: impl Blocks,
        record: &Record<'_, PLAIN>,
        slots: &mut Slots,
    ) -> Option<usize> {
        let (mut at, mut node) = (0, self.nodes.first()?);
        loop {
            let window = record.window(at);
            if !blocks.starts(behind(window, 0), &node.literal, node.ignored) {
                node = self.nodes.get(usize::from(node.next))?;
                continue;
            }
            let length = usize::from(node.length);
            let (start, block) = (at + length, behind(window, length));
            let slot = &mut slots[usize::from(node.slot) % SLOTS];
            let end = match node.gap {
                Gap::Text => scan::text_end(blocks, record, block, start).inspect(|&end| {
                    *slot = start as u64 | ((end - start) as u64) << 32;
                }),
                Gap::Integer => scan::integer(block).map(|(value, count)| {
                    *slot = value;
                    start + count
                }),
                Gap::Scalar => scan::scalar_end(record, start),
                Gap::None => Some(start),
                Gap::End if start == record.len() => return Some(node.child.into()),
                Gap::End => None,
            };
            let Some(end) = end else {
                node = self.nodes.get(usize::from(node.next))?;
                continue;
            };
            at = end;
            node = self.nodes.get(usize::from(node.child))?;
        }
    }
}
