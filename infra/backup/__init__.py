"""Backups: snapshots of all indexes with their watermarks, in a folder where snapshots share what has not changed.

errors      what makes a backup or a restore impossible
manifest    what a snapshot consists of; without it there is no snapshot
store       the folder: files by their checksums, and the manifests, each written last
parts       tables of PostgreSQL as files of the store
taking      makes a snapshot, beside indexers that go on
target      local indexes on their way back: staged, then put live
restoring   checks a snapshot, and puts its indexes in place
"""
