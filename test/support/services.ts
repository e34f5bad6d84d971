/** Real services for tests, brought up by the tests themselves. */
export { type PostgresDatabase, type PostgresServer, startPostgres } from './postgres.ts';
export { type RedisDatabase, type RedisServer, startRedis } from './redis.ts';
