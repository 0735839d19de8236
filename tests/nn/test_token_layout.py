"""Tests of albert.nn.token_layout: conversion to rows of tokens and back, against NumPy."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert import modeling
from albert.nn.token_layout import PackedTokens, PaddedTokens, rows_where

HEADS, SIZE = 3, 2
WIDTH = HEADS * SIZE
MASKS = {
    "padding at the end": [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]],
    "no padding": [[1, 1, 1], [1, 1, 1]],
    "padding first and within": [[0, 0, 1, 1], [1, 0, 1, 0]],
    "sequences without a token": [[0, 0, 0], [1, 1, 0], [0, 0, 0]],
}

every_mask = pytest.mark.parametrize("mask", list(MASKS.values()), ids=list(MASKS))
both_layouts = pytest.mark.parametrize("kind", ["packed", "padded"])


class Case:
    """A mask, random values for it, and which positions are tokens in a layout."""

    def __init__(self, kind, mask):
        self.kind = kind
        self.mask = np.array(mask, np.int32)
        self.is_token = self.mask > 0 if kind == "packed" else np.ones(self.mask.shape, bool)
        random = np.random.RandomState(3)
        self.padded = random.normal(size=self.mask.shape + (WIDTH,)).astype(np.float32)
        self.tokens = self.padded[self.is_token]  # [num_tokens, width]
        parts = self.padded.reshape(self.mask.shape + (HEADS, SIZE))
        self.heads = parts.transpose(0, 2, 1, 3)  # [batch, heads, seq, size]

    def run(self, method, value, outer=None):
        """Returns method(value) of the layout, and its gradient if `outer` is given."""
        with tf.Graph().as_default(), tf.Session() as session:
            mask = tf.placeholder(tf.int32, [None, None])
            shape = modeling.get_shape_list(mask)
            layout = {
                "packed": lambda: PackedTokens(mask, shape, HEADS),
                "padded": lambda: PaddedTokens(shape, HEADS),
            }[self.kind]()
            if method == "positions":
                return session.run(layout.positions, {mask: self.mask})
            inputs = tf.constant(value)
            result = getattr(layout, method)(inputs)
            fetches = [result]
            if outer is not None:
                fetches += tf.gradients(result, inputs, grad_ys=tf.constant(outer))
            fetched = session.run(fetches, {mask: self.mask})
            return fetched if outer is not None else fetched[0]


@both_layouts
@every_mask
def test_flatten_returns_the_tokens_in_order(kind, mask):
    case = Case(kind, mask)
    np.testing.assert_array_equal(case.run("flatten", case.padded), case.tokens)
    ids = np.arange(case.mask.size, dtype=np.int32).reshape(case.mask.shape)
    np.testing.assert_array_equal(case.run("flatten", ids), ids[case.is_token])


@both_layouts
@every_mask
def test_positions_count_from_the_start_of_each_sequence(kind, mask):
    case = Case(kind, mask)
    np.testing.assert_array_equal(case.run("positions", None), np.nonzero(case.is_token)[1])


@both_layouts
@every_mask
def test_unflatten_puts_tokens_back_and_zeros_elsewhere(kind, mask):
    case = Case(kind, mask)
    expected = np.where(case.is_token[..., None], case.padded, 0.0)
    padded, gradient = case.run("unflatten", case.tokens, outer=case.padded)
    np.testing.assert_array_equal(padded, expected)
    np.testing.assert_array_equal(gradient, case.tokens)


@both_layouts
@every_mask
def test_split_heads_moves_each_heads_part_to_its_position(kind, mask):
    case = Case(kind, mask)
    # Values at padding have no effect on any token: attention gives them no weight.
    heads, gradient = case.run("split_heads", case.tokens, outer=case.heads)
    is_real = np.broadcast_to(case.is_token[:, None, :], case.heads.shape[:3])
    np.testing.assert_array_equal(heads[is_real], case.heads[is_real])
    assert np.isfinite(heads).all()
    np.testing.assert_array_equal(gradient, case.tokens)


@both_layouts
@every_mask
def test_merge_heads_undoes_split_heads_and_padding_gets_no_gradient(kind, mask):
    case = Case(kind, mask)
    tokens, gradient = case.run("merge_heads", case.heads, outer=case.tokens)
    np.testing.assert_array_equal(tokens, case.tokens)
    expected = np.where(case.is_token[:, None, :, None], case.heads, 0.0)
    np.testing.assert_array_equal(gradient, expected)


def test_chosen_rows_and_their_gradient_are_those_of_a_mask():
    random = np.random.RandomState(0)
    is_chosen = [False, True, True, False, False, True]
    values, weights = random.standard_normal([6, 3]), random.standard_normal([3, 3])
    with tf.Graph().as_default(), tf.Session() as session:
        rows = tf.constant(values)
        found = rows_where(tf.constant(is_chosen), rows)
        gradient = tf.gradients(tf.reduce_sum(found * weights), rows)[0]
        found, gradient = session.run([found, gradient])
    np.testing.assert_array_equal(found, values[is_chosen])
    expected = np.zeros([6, 3])
    expected[is_chosen] = weights
    np.testing.assert_array_equal(gradient, expected)


def test_no_row_may_be_chosen():
    with tf.Graph().as_default(), tf.Session() as session:
        rows = tf.ones([2, 3])
        found = rows_where(tf.constant([False, False]), rows)
        values, gradient = session.run([found, tf.gradients(tf.reduce_sum(found), rows)[0]])
    assert values.shape == (0, 3)
    np.testing.assert_array_equal(gradient, np.zeros([2, 3]))
