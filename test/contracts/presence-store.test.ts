import { presenceStoreContract, presenceStoreStatementsContract } from '../suites/presence-store.ts';
import { presenceStoreBlocksContract } from '../suites/presence-store-blocks.ts';
import { presenceStoreEndsContract } from '../suites/presence-store-ends.ts';
import { presenceStoreGroupsContract } from '../suites/presence-store-groups.ts';
import { redisSubject, type SubjectCase } from '../support/presence-subject.ts';

const REDIS: readonly SubjectCase[] = [['redis', redisSubject]];

presenceStoreContract(REDIS);
presenceStoreStatementsContract(REDIS);
presenceStoreEndsContract(REDIS);
presenceStoreBlocksContract(REDIS);
presenceStoreGroupsContract(REDIS);
