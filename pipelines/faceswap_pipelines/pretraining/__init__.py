"""Pretrain: from portraits of many people to the base weights that ship."""
