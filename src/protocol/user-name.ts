import type { Language } from './error-codes.ts';

/** The name of a user whose token has none. */
export function defaultUsername(userId: number, language: Language): string {
  return language === 'zh' ? `玩家${userId}` : `Player ${userId}`;
}
