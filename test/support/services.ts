/** Real services for tests, brought up by the tests themselves. */
export {
  createDatabase,
  type PostgresDatabase,
  type PostgresServer,
  type Row,
  startPostgres,
} from './postgres.ts';
export {
  openRedisDatabase,
  type RedisDatabase,
  type RedisOptions,
  type RedisServer,
  startRedis,
} from './redis.ts';
