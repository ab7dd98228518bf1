"""Notices what needs doing: uploads, corrections, work whose wait is over."""
