package wal

const childEnv = "SENTINEL_WAL_CHILD"

func writerChild(string) int { return 0 }
